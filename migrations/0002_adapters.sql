-- Adapters that somebody handed in; each stands on the base that it was checked against.
create table adapters (
  id text primary key,
  name text not null constraint adapters_name_key unique,
  base_model text not null constraint adapters_base_model_fkey references base_models (id),
  -- of the files' names and hashes; equal for equal adapters
  sha256 text not null,
  facts jsonb not null,
  files jsonb not null,
  created_at timestamptz not null default queue_now()
);
