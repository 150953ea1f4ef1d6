//! Reading PostgreSQL's query plans.

/// The steps that take the longer the more rows a table has: those that read it from end to end, and those that sort what
/// is not locked yet. What is locked is little, and may be sorted.
pub fn steps_that_grow(plan: &[String]) -> Vec<&str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut locking: Option<usize> = None;
    let grows = |line: &&str| {
        if locking.is_some_and(|at| depth(line) <= at) {
            locking = None;
        }
        if line.contains("LockRows") {
            locking = Some(depth(line));
        }
        line.contains("Seq Scan") || (locking.is_some() && line.contains("Sort"))
    };
    plan.iter().map(String::as_str).filter(grows).collect()
}
