//! Long lists in pages, as the `Describe` operations give them.

use super::answers::Refusal;

/// The most that one page of `DescribeActivations` or `DescribeInstanceInformation` holds.
const LARGEST_PAGE: usize = 50;

/// One page, and the token that asks for the next one. The token is the number of items already
/// given.
pub fn page<T>(
    items: Vec<T>,
    max_results: Option<usize>,
    next_token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Refusal> {
    let size = max_results.unwrap_or(LARGEST_PAGE);
    if !(1..=LARGEST_PAGE).contains(&size) {
        return Err(Refusal::validation(format!("MaxResults must be 1 to {LARGEST_PAGE}")));
    }
    let start = match next_token {
        None | Some("") => 0,
        Some(token) => {
            token.parse::<usize>().ok().filter(|start| *start <= items.len()).ok_or_else(|| {
                Refusal::new("InvalidNextToken", "The next token is not one of ours")
            })?
        }
    };
    let end = start.saturating_add(size);
    let next = (end < items.len()).then(|| end.to_string());
    Ok((items.into_iter().skip(start).take(size).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_comes_once() {
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let (items, next) =
                page((0..7).collect::<Vec<_>>(), Some(3), token.as_deref()).unwrap();
            seen.extend(items);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..7).collect::<Vec<_>>());
    }

    #[test]
    fn foreign_tokens_and_sizes_are_refused() {
        assert!(page(vec![1], Some(0), None).is_err());
        assert!(page(vec![1], Some(51), None).is_err());
        assert!(page(vec![1], None, Some("x")).is_err());
        assert!(page(vec![1], None, Some("2")).is_err());
    }
}
