//! Answers that are kept under a key of the client's. Knows keys and bytes, not what a request is.

use serde_json::Value;

use super::{Result, Storage, bounded};

/// One request that carries a key.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who asks.
    pub caller: String,
    /// Method and path template.
    pub route: String,
    /// The client's key.
    pub key: String,
    /// What is asked, hashed.
    pub fingerprint: String,
    /// This request and no other.
    pub holder: String,
}

/// An answer as it went out.
#[derive(Debug, Clone)]
pub struct Kept {
    /// HTTP status.
    pub status: u16,
    /// Names and values.
    pub headers: Value,
    /// The bytes.
    pub body: Vec<u8>,
}

/// What a key stands for.
#[derive(Debug, Clone)]
pub enum Taken {
    /// Nothing so far: the request is to be done.
    Ours,
    /// The same request, which was answered.
    Kept(Kept),
    /// The same request, which is at work.
    AtWork,
    /// Another request.
    Other,
}

/// Takes the key for `held` seconds and keeps it for `life` seconds, unless somebody has it.
pub async fn take(storage: &Storage, claim: &Claim, held: f64, life: f64) -> Result<Taken> {
    let query = sqlx::query_scalar!(
        "-- idempotency::take
insert into idempotency_keys as k (caller, route, key, fingerprint, holder, held_until, expires_at)
values ($1, $2, $3, $4, $5, queue_now() + make_interval(secs => $6), queue_now() + make_interval(secs => $7))
on conflict (caller, route, key) do update set fingerprint = excluded.fingerprint, holder = excluded.holder,
  held_until = excluded.held_until, expires_at = excluded.expires_at, status = null, headers = '{}', body = ''
where k.expires_at <= queue_now()
  or (k.status is null and k.held_until <= queue_now() and k.fingerprint = excluded.fingerprint)
returning holder",
        claim.caller,
        claim.route,
        claim.key,
        claim.fingerprint,
        claim.holder,
        held,
        life,
    );
    match bounded(query.fetch_optional(&storage.pool)).await? {
        Some(_) => Ok(Taken::Ours),
        None => known(storage, claim).await,
    }
}

async fn known(storage: &Storage, claim: &Claim) -> Result<Taken> {
    let query = sqlx::query!(
        "-- idempotency::known
select fingerprint, status, headers, body from idempotency_keys where caller = $1 and route = $2 and key = $3",
        claim.caller,
        claim.route,
        claim.key,
    );
    let Some(row) = bounded(query.fetch_optional(&storage.pool)).await? else {
        return Ok(Taken::AtWork);
    };
    if row.fingerprint != claim.fingerprint {
        return Ok(Taken::Other);
    }
    Ok(match row.status {
        None => Taken::AtWork,
        Some(status) => Taken::Kept(Kept {
            status: u16::try_from(status).unwrap_or(200),
            headers: row.headers,
            body: row.body,
        }),
    })
}

/// Keeps the answer of the request that holds the key.
pub async fn keep(storage: &Storage, claim: &Claim, kept: &Kept) -> Result<()> {
    let query = sqlx::query!(
        "-- idempotency::keep
update idempotency_keys set status = $5, headers = $6, body = $7
where caller = $1 and route = $2 and key = $3 and holder = $4",
        claim.caller,
        claim.route,
        claim.key,
        claim.holder,
        i32::from(kept.status),
        kept.headers,
        kept.body,
    );
    bounded(query.execute(&storage.pool)).await?;
    Ok(())
}

/// Gives the key back, because what was asked was not done.
pub async fn release(storage: &Storage, claim: &Claim) -> Result<()> {
    let query = sqlx::query!(
        "-- idempotency::release
delete from idempotency_keys where caller = $1 and route = $2 and key = $3 and holder = $4 and status is null",
        claim.caller,
        claim.route,
        claim.key,
        claim.holder,
    );
    bounded(query.execute(&storage.pool)).await?;
    Ok(())
}

/// Forgets keys whose time is over.
pub async fn forget(storage: &Storage) -> Result<()> {
    let query = sqlx::query!(
        "-- idempotency::forget
delete from idempotency_keys where expires_at <= queue_now()"
    );
    bounded(query.execute(&storage.pool)).await?;
    Ok(())
}
