-- What was answered to a request that carried an Idempotency-Key, so that the same request is answered the same again.
create table idempotency_keys (
  caller text not null,
  -- method and path template
  route text not null,
  key text not null,
  -- hash of path, query, media type and body
  fingerprint text not null,
  -- the request that is at work or has answered
  holder text not null,
  -- a request that has not answered by then died with its server
  held_until timestamptz not null,
  expires_at timestamptz not null,
  -- null while the request is at work
  status integer,
  headers jsonb not null default '{}',
  body bytea not null default '',
  primary key (caller, route, key)
);

create index idempotency_keys_by_end on idempotency_keys (expires_at);
