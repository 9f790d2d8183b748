//! Long lists in pages, as the `Describe` operations give them.

use std::ops::{ControlFlow, RangeInclusive};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use time::UtcDateTime;

use super::answers::Refusal;
use super::constraints::Constraints;
use super::store::{Record, Table};

/// A list, and how much of it may be had at once.
#[derive(Debug)]
pub struct List {
    /// What a token is for; it is refused for another list.
    pub name: &'static str,
    pub sizes: RangeInclusive<i64>,
    /// The size of a page where none is asked for.
    pub usual: i64,
}

impl List {
    /// Whether a page with so many items may have one more.
    pub fn has_room(&self, count: usize, max_results: Option<i64>) -> bool {
        let size = max_results.unwrap_or(self.usual);
        i64::try_from(count).is_ok_and(|count| count < size)
    }

    /// The token for what comes after an item.
    pub fn after<R: Record>(&self, last: &R) -> String {
        encode(self, last)
    }
}

/// One page, oldest first, so that an item never moves to an earlier one, and the token that asks
/// for the next page.
///
/// Where `ids` are given, nothing else is looked at. `wish` is the request's `MaxResults` and
/// `NextToken`.
pub fn page<R: Record>(
    list: &List,
    table: &Table<R>,
    ids: Option<&[String]>,
    passes: impl Fn(&R) -> bool,
    (max_results, next_token): (Option<i64>, Option<&str>),
) -> Result<(Vec<R>, Option<String>), Refusal> {
    let size = max_results.unwrap_or(list.usual);
    let mut constraints = Constraints::default();
    constraints.range("maxResults", size, list.sizes.clone());
    constraints.check()?;
    let place = next_token
        .filter(|token| !token.is_empty())
        .map(|token| {
            let invalid = || Refusal::new("InvalidNextToken", "The next token is not one of ours");
            decode(list, token).ok_or_else(invalid)
        })
        .transpose()?;
    let after = place.as_ref().map(|(at, id)| (*at, id.as_str()));
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    let mut more = false;
    let look = |item: R| {
        if !passes(&item) {
            return ControlFlow::Continue(());
        }
        more = items.len() == size;
        if more {
            return ControlFlow::Break(());
        }
        items.push(item);
        ControlFlow::Continue(())
    };
    match ids {
        Some(ids) => table.walk_among(ids, after, look)?,
        None => table.walk(after, look)?,
    }
    let next = items.last().filter(|_| more).map(|last| encode(list, last));
    Ok((items, next))
}

/// The place of the last item that was given: it holds also when items come and go meanwhile.
fn encode<R: Record>(list: &List, last: &R) -> String {
    let at = last.at().unix_timestamp_nanos();
    URL_SAFE_NO_PAD.encode(format!("{}/{at}/{}", list.name, last.id()))
}

fn decode(list: &List, token: &str) -> Option<(UtcDateTime, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (at, id) = text.strip_prefix(list.name)?.strip_prefix('/')?.split_once('/')?;
    Some((UtcDateTime::from_unix_timestamp_nanos(at.parse().ok()?).ok()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use time::macros::utc_datetime;

    use super::*;
    use crate::lab::store::Store;

    const LIST: List = List { name: "things", sizes: 1..=50, usual: 10 };
    const OTHER: List = List { name: "others", sizes: 5..=50, usual: 10 };

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Thing(i64, String);

    impl Record for Thing {
        const KIND: &'static str = "thing";

        fn id(&self) -> &str {
            &self.1
        }

        fn at(&self) -> UtcDateTime {
            utc_datetime!(2026-11-22 00:00) + time::Duration::seconds(self.0)
        }
    }

    fn things(count: i64) -> Table<Thing> {
        let store = Store::in_memory(&"us-east-1".parse().unwrap()).unwrap();
        let table = store.table();
        for number in (0..count).rev() {
            table.put(&Thing(number / 2, format!("thing-{number:03}"))).unwrap();
        }
        table
    }

    fn all(
        list: &List,
        things: &Table<Thing>,
        wish: (Option<i64>, Option<&str>),
    ) -> Result<(Vec<Thing>, Option<String>), Refusal> {
        page(list, things, None, |_| true, wish)
    }

    /// The ids of all pages of three.
    fn paged(things: &Table<Thing>, ids: Option<&[String]>) -> Vec<String> {
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let wish = (Some(3), token.as_deref());
            let (items, next) = page(&LIST, things, ids, |_| true, wish).unwrap();
            seen.extend(items.into_iter().map(|thing| thing.1));
            token = next;
            if token.is_none() {
                return seen;
            }
        }
    }

    #[test]
    fn every_item_comes_once_and_the_oldest_first() {
        let ids = (0..7).map(|number| format!("thing-{number:03}")).collect::<Vec<_>>();
        let things = things(7);
        assert_eq!(paged(&things, None), ids);
        let mut some = ids[1..6].to_vec();
        some.reverse();
        some.extend([ids[2].clone(), "thing-999".to_owned()]);
        assert_eq!(paged(&things, Some(&some)), ids[1..6]);
    }

    #[test]
    fn a_page_has_its_usual_size_and_the_last_has_no_token() {
        let things = things(11);
        let (items, next) = all(&LIST, &things, (None, None)).unwrap();
        assert_eq!(items.len(), 10);
        assert!(next.is_some());
        let (items, next) = all(&LIST, &things, (Some(11), None)).unwrap();
        assert_eq!((items.len(), next), (11, None));
    }

    #[test]
    fn a_page_is_filled_with_what_passes() {
        let things = things(9);
        let odd = |thing: &Thing| thing.1.ends_with(['1', '3', '5', '7']);
        let (items, next) = page(&LIST, &things, None, odd, (Some(4), None)).unwrap();
        assert_eq!((items.len(), next), (4, None), "nothing more would pass");
        let (_, next) = page(&LIST, &things, None, odd, (Some(3), None)).unwrap();
        assert!(next.is_some());
    }

    #[test]
    fn an_item_that_goes_meanwhile_costs_no_other() {
        let things = things(6);
        let (_, token) = all(&LIST, &things, (Some(2), None)).unwrap();
        assert!(things.remove("thing-001").unwrap());
        let (items, _) = all(&LIST, &things, (Some(2), token.as_deref())).unwrap();
        assert_eq!(items[0].1, "thing-002");
    }

    #[test]
    fn foreign_tokens_and_sizes_are_refused() {
        let things = things(9);
        let refused =
            |list, size, token| all(list, &things, (size, token)).unwrap_err().code.into_owned();
        let (_, token) = all(&OTHER, &things, (Some(5), None)).unwrap();
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
            let _ = all(&LIST, &things(3), (None, Some(&token)));
        }
    }
}
