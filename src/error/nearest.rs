//! Which of the known names was probably meant, for the hint of an error. Pure.

/// The name among `known` that was probably meant.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (found.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|one| (distance(found, one, allowed), one))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, one)| one)
}

/// How many characters must be changed to make one text of the other; only right up to `limit`.
fn distance(one: &str, other: &str, limit: usize) -> usize {
    let one: Vec<char> = one.to_lowercase().chars().collect();
    let other: Vec<char> = other.to_lowercase().chars().collect();
    if one.len().abs_diff(other.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = (0..=other.len()).collect();
    for (row, left) in one.iter().enumerate() {
        let mut here = vec![row + 1];
        for (column, right) in other.iter().enumerate() {
            let replaced = before[column] + usize::from(left != right);
            here.push(replaced.min(before[column + 1] + 1).min(here[column] + 1));
        }
        before = here;
    }
    before[other.len()]
}
