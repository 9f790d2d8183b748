//! Long lists in pages, as the `Describe` operations give them.

use std::ops::RangeInclusive;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use time::UtcDateTime;

use super::answers::Refusal;
use super::constraints::Constraints;

/// One of a list. The older come first, so that a page's items never move to an earlier one.
pub trait Listed {
    fn since(&self) -> UtcDateTime;
    fn id(&self) -> &str;
}

/// A list, and how much of it may be had at once.
#[derive(Debug)]
pub struct List {
    /// What a token is for; it is refused for another list.
    pub name: &'static str,
    pub sizes: RangeInclusive<i64>,
    /// The size of a page where none is asked for.
    pub usual: i64,
}

/// One page, oldest first, and the token that asks for the next one.
pub fn page<'a, T: Listed>(
    list: &List,
    mut items: Vec<&'a T>,
    max_results: Option<i64>,
    next_token: Option<&str>,
) -> Result<(Vec<&'a T>, Option<String>), Refusal> {
    let size = max_results.unwrap_or(list.usual);
    let mut constraints = Constraints::default();
    constraints.range("maxResults", size, list.sizes.clone());
    constraints.check()?;
    items.sort_by(|a, b| place(*a).cmp(&place(*b)));
    if let Some(token) = next_token.filter(|token| !token.is_empty()) {
        let (since, id) = decode(list, token)
            .ok_or_else(|| Refusal::new("InvalidNextToken", "The next token is not one of ours"))?;
        items.retain(|item| place(*item) > (since, id.as_str()));
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|last| encode(list, place(*last)));
    Ok((items, next))
}

fn place<T: Listed>(item: &T) -> (i128, &str) {
    (item.since().unix_timestamp_nanos(), item.id())
}

/// The place of the last item that was given: it holds also when items come and go meanwhile.
fn encode(list: &List, (since, id): (i128, &str)) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}/{since}/{id}", list.name))
}

fn decode(list: &List, token: &str) -> Option<(i128, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (since, id) = text.strip_prefix(list.name)?.strip_prefix('/')?.split_once('/')?;
    Some((since.parse().ok()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::utc_datetime;

    use super::*;

    const LIST: List = List { name: "things", sizes: 1..=50, usual: 10 };
    const OTHER: List = List { name: "others", sizes: 5..=50, usual: 10 };

    #[derive(Debug, PartialEq)]
    struct Thing(i64, String);

    impl Listed for Thing {
        fn since(&self) -> UtcDateTime {
            utc_datetime!(2026-11-22 00:00) + time::Duration::seconds(self.0)
        }

        fn id(&self) -> &str {
            &self.1
        }
    }

    fn things(count: i64) -> Vec<Thing> {
        (0..count).rev().map(|number| Thing(number / 2, format!("thing-{number:03}"))).collect()
    }

    #[test]
    fn every_item_comes_once_and_the_oldest_first() {
        let things = things(7);
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let (items, next) =
                page(&LIST, things.iter().collect(), Some(3), token.as_deref()).unwrap();
            seen.extend(items.iter().map(|thing| thing.1.clone()));
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..7).map(|number| format!("thing-{number:03}")).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_has_its_usual_size_and_the_last_has_no_token() {
        let things = things(11);
        let (items, next) = page(&LIST, things.iter().collect(), None, None).unwrap();
        assert_eq!(items.len(), 10);
        assert!(next.is_some());
        let (items, next) = page(&LIST, things.iter().collect(), Some(11), None).unwrap();
        assert_eq!((items.len(), next), (11, None));
    }

    #[test]
    fn an_item_that_goes_meanwhile_costs_no_other() {
        let mut things = things(6);
        things.reverse();
        let (_, token) = page(&LIST, things.iter().collect(), Some(2), None).unwrap();
        things.remove(1);
        let (items, _) = page(&LIST, things.iter().collect(), Some(2), token.as_deref()).unwrap();
        assert_eq!(items[0].1, "thing-002");
    }

    #[test]
    fn foreign_tokens_and_sizes_are_refused() {
        let things = things(9);
        let refused = |list, size, token| {
            page(list, things.iter().collect(), size, token).unwrap_err().code.into_owned()
        };
        let (_, token) = page(&OTHER, things.iter().collect(), Some(5), None).unwrap();
        assert_eq!(refused(&LIST, None, token.as_deref()), "InvalidNextToken");
        assert_eq!(refused(&LIST, None, Some("2")), "InvalidNextToken");
        for size in [-1, 0, 51, i64::MAX] {
            assert_eq!(refused(&LIST, Some(size), None), "ValidationException");
        }
        assert_eq!(refused(&OTHER, Some(4), None), "ValidationException");
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_refused(token in "\\PC*") {
            let things = things(3);
            let _ = page(&LIST, things.iter().collect(), None, Some(&token));
        }
    }
}
