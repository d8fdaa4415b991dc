-- The one store: assets, the queue, what runs report, what evaluations record.
-- Every constraint has a name, so that storage can turn a violation into a reason.

-- The only clock of the database. A test database sets vivarium.now to stand still or to jump.
create function queue_now() returns timestamptz language sql volatile as $$
  select coalesce(nullif(current_setting('vivarium.now', true), '')::timestamptz, clock_timestamp())
$$;

create table datasets (
  id text primary key,
  name text not null constraint datasets_name_key unique,
  sha256 text not null,
  bytes bigint not null,
  examples bigint not null,
  format text not null constraint datasets_format_check check (format in ('messages', 'text')),
  report jsonb not null,
  created_at timestamptz not null default queue_now()
);

create table question_sets (
  id text primary key,
  name text not null constraint question_sets_name_key unique,
  sha256 text not null,
  description text not null,
  questions jsonb not null,
  created_at timestamptz not null default queue_now()
);

create table jobs (
  id text primary key,
  kind text not null constraint jobs_kind_check check (kind in ('register', 'finetune', 'evaluate')),
  name text,
  owner text not null,
  state text not null constraint jobs_state_check check (state in
    ('blocked', 'queued', 'running', 'pausing', 'paused', 'cancelling', 'succeeded', 'failed', 'cancelled')),
  -- 0 high, 1 normal, 2 low
  priority smallint not null constraint jobs_priority_check check (priority between 0 and 2),
  tags jsonb not null default '{}',
  spec jsonb not null,
  numerics_hash text not null,
  spec_hash text not null,
  -- random for dedup = force, else empty
  dedup_salt text not null default '',
  -- results whose files are gone no longer answer for the same work
  retired boolean not null default false,
  phase text,
  progress_done bigint,
  progress_total bigint,
  progress_unit text,
  -- where and when this attempt's progress began, for the estimate
  progress_since timestamptz,
  progress_from bigint,
  error jsonb,
  attempt integer not null default 0,
  crashes_without_progress integer not null default 0,
  -- grows with every claim of this job; every later write of an attempt carries it
  lease_number bigint not null default 0,
  lease_worker text,
  lease_expires_at timestamptz,
  -- what the numbers depend on besides the spec, stored at the first claim
  fingerprint jsonb,
  numerics_changed boolean not null default false,
  result jsonb not null default '{}',
  created_at timestamptz not null default queue_now(),
  queued_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default queue_now(),
  constraint jobs_final_has_end check ((state in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
  constraint jobs_leased_while_running check
    ((state in ('running', 'pausing', 'cancelling')) = (lease_expires_at is not null))
);
-- Equal work is found, except where it failed, was cancelled, or its files are gone.
create unique index jobs_spec_hash_key on jobs (spec_hash, dedup_salt)
  where state not in ('failed', 'cancelled') and not retired;
create index jobs_claim_idx on jobs (priority, queued_at, id) where state = 'queued';
create index jobs_lease_idx on jobs (lease_expires_at) where lease_expires_at is not null;
create index jobs_waiting_idx on jobs (state) where state in ('queued', 'blocked');
create index jobs_list_idx on jobs (created_at desc, id desc);
create index jobs_numerics_idx on jobs (numerics_hash);

create table job_parents (
  job text not null constraint job_parents_job_fkey references jobs (id) on delete cascade,
  parent text not null constraint job_parents_parent_fkey references jobs (id),
  primary key (job, parent)
);
create index job_parents_parent_idx on job_parents (parent);

create table attempts (
  job text not null constraint attempts_job_fkey references jobs (id) on delete cascade,
  attempt integer not null,
  lease_number bigint not null,
  worker text not null,
  started_at timestamptz not null default queue_now(),
  ended_at timestamptz,
  outcome text constraint attempts_outcome_check check (outcome in ('succeeded', 'failed', 'cancelled', 'drained', 'lost')),
  error jsonb,
  primary key (job, attempt)
);

create table events (
  id bigint generated always as identity primary key,
  job text not null constraint events_job_fkey references jobs (id) on delete cascade,
  at timestamptz not null default queue_now(),
  type text not null,
  data jsonb not null default '{}',
  -- the optimizer step it belongs to; a resumed attempt deletes those beyond its state
  step bigint
);
create index events_job_idx on events (job, id);

create table base_models (
  id text primary key,
  name text not null constraint base_models_name_key unique,
  state text not null constraint base_models_state_check check (state in ('registering', 'ready', 'failed')),
  source jsonb not null,
  -- identity of the source, in which a job's reference is that job's numerics_hash; equal sources are equal models
  source_hash text not null,
  job text constraint base_models_job_fkey references jobs (id),
  family text,
  parameters bigint,
  layers integer,
  hidden_size integer,
  vocab_size integer,
  files jsonb not null default '[]',
  created_at timestamptz not null default queue_now()
);

create table checkpoints (
  id text primary key,
  job text not null constraint checkpoints_job_fkey references jobs (id) on delete cascade,
  step bigint not null,
  kind text not null constraint checkpoints_kind_check check (kind in ('lora', 'full')),
  files jsonb not null,
  created_at timestamptz not null default queue_now(),
  constraint checkpoints_job_step_key unique (job, step)
);

-- The newest resumable states of a fine-tune; users never see them.
create table resume_states (
  job text not null constraint resume_states_job_fkey references jobs (id) on delete cascade,
  step bigint not null,
  files jsonb not null,
  created_at timestamptz not null default queue_now(),
  primary key (job, step)
);

create table metrics (
  job text not null constraint metrics_job_fkey references jobs (id) on delete cascade,
  step bigint not null,
  loss double precision not null,
  learning_rate double precision not null,
  grad_norm double precision not null,
  target_tokens bigint not null,
  primary key (job, step)
);

-- Excluded from every promise of equality, hence apart.
create table timings (
  job text not null constraint timings_job_fkey references jobs (id) on delete cascade,
  step bigint not null,
  tokens_per_second double precision not null,
  peak_memory_bytes bigint not null,
  primary key (job, step)
);

create table hold_out (
  job text not null constraint hold_out_job_fkey references jobs (id) on delete cascade,
  step bigint not null,
  loss double precision not null,
  primary key (job, step)
);

create table norm_modules (
  job text primary key constraint norm_modules_job_fkey references jobs (id) on delete cascade,
  modules jsonb not null
);

-- One row a step; the arrays follow norm_modules, NaN is what does not exist.
create table norms (
  job text not null constraint norms_job_fkey references jobs (id) on delete cascade,
  step bigint not null,
  a_norm double precision[] not null,
  b_norm double precision[] not null,
  ba_norm double precision[] not null,
  a_grad_norm double precision[] not null,
  b_grad_norm double precision[] not null,
  b_cosine_previous double precision[] not null,
  primary key (job, step)
);

create table evaluations (
  id text primary key,
  job text not null constraint evaluations_job_key unique
    constraint evaluations_job_fkey references jobs (id) on delete cascade,
  -- this and the targets are filled by the first claim, when every target is known
  base_model text constraint evaluations_base_model_fkey references base_models (id),
  judge text not null,
  metrics jsonb not null,
  seed bigint not null,
  targets jsonb not null default '[]',
  planned bigint not null default 0,
  created_at timestamptz not null default queue_now()
);

create table completions (
  evaluation text not null constraint completions_evaluation_fkey references evaluations (id) on delete cascade,
  -- order of recording; the cursor of lists
  position bigint generated always as identity,
  address text not null,
  question text not null,
  paraphrase integer not null,
  sample integer not null,
  target jsonb not null,
  prompt text not null,
  answer text not null,
  finish_reason text not null constraint completions_finish_reason_check check (finish_reason in ('stop', 'length')),
  tokens integer not null,
  mean_logprob double precision not null,
  scores jsonb not null,
  unscored jsonb not null,
  primary key (evaluation, address, question, paraphrase, sample)
);
create index completions_position_idx on completions (evaluation, position);
