//! Files that no row names any more. Knows hashes and rows, not where bytes lie.

use super::{Result, Storage, bounded};

/// Up to `limit` hashes of which a row let go more than `age_seconds` ago.
pub async fn dropped(storage: &Storage, age_seconds: f64, limit: i64) -> Result<Vec<String>> {
    let query = sqlx::query_scalar!(
        "-- garbage::dropped
select sha256 from dropped_files where dropped_at < queue_now() - make_interval(secs => $1) order by dropped_at limit $2",
        age_seconds,
        limit,
    );
    bounded(query.fetch_all(&storage.pool)).await
}

/// Those of `hashes` that no row names.
pub async fn unreferenced(storage: &Storage, hashes: &[String]) -> Result<Vec<String>> {
    let query = sqlx::query_scalar!(
        r#"-- garbage::unreferenced
select given.sha256 as "sha256!" from unnest($1::text[]) as given (sha256)
where given.sha256 not in (select r.sha256 from referenced_files r where r.sha256 = any($1))"#,
        hashes,
    );
    bounded(query.fetch_all(&storage.pool)).await
}

/// These were looked at: their bytes are gone, or somebody names them again.
pub async fn settled(storage: &Storage, hashes: &[String]) -> Result<()> {
    let query = sqlx::query!(
        "-- garbage::settled
delete from dropped_files where sha256 = any($1)",
        hashes,
    );
    bounded(query.execute(&storage.pool)).await?;
    Ok(())
}
