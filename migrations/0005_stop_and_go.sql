-- Jobs stop and go on: a pause says why, an attempt may end as paused, a job may be tried again.
alter table jobs
  -- why a pausing or paused job waits: {reason, detail, since}
  add column pause jsonb,
  -- its owner lets it go on under another fingerprint
  add column numerics_accepted boolean not null default false,
  -- attempts up to this one were before the last retry and no longer count
  add column retried_after integer not null default 0;
alter table attempts drop constraint attempts_outcome_check;
alter table attempts add constraint attempts_outcome_check
  check (outcome in ('succeeded', 'failed', 'cancelled', 'drained', 'lost', 'paused'));
