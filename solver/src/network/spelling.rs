//! Whether an unknown attribute of an input file is rather a known one misspelt.

/// Whether a name is a likely misspelling of another: one edit away, two where it is long.
pub(super) fn resembles(name: &str, of: &str) -> bool {
    let allowed = if of.len() > 4 { 2 } else { 1 };
    let (a, b): (Vec<char>, Vec<char>) = (name.chars().collect(), of.chars().collect());
    if a.len().abs_diff(b.len()) > allowed {
        return false;
    }
    // Levenshtein's distance, row by row.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()] <= allowed
}
