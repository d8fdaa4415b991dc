-- An experiment: the spec that its jobs were planned from, and what its owner wishes of the whole.
create table experiments (
  id text primary key,
  name text not null,
  owner text not null,
  priority smallint not null constraint experiments_priority_check check (priority between 0 and 2),
  tags jsonb not null default '{}',
  spec jsonb not null,
  -- as planned: grids expanded, controls among them
  arms jsonb not null,
  -- of the analysis; null where nothing is analysed
  settings jsonb,
  created_at timestamptz not null default queue_now(),
  updated_at timestamptz not null default queue_now(),
  -- set while its owner wants it to stand still, or after he cancelled it
  paused_at timestamptz,
  cancelled_at timestamptz,
  -- the jobs and their ends that the last analysis was asked about; null before the first
  analysed jsonb,
  -- why the last analysis could not be asked for
  analysis_problem text
);

create index experiments_by_name on experiments (name);

-- Which job does what for which experiment. A job may serve several: the same work is done once.
create table experiment_jobs (
  experiment text not null references experiments (id) on delete cascade,
  -- place in the plan, such as train/bad/0
  key text not null,
  position integer not null,
  role text not null constraint experiment_jobs_role_check check (role in ('train', 'evaluate', 'evaluate_in_domain', 'analyze')),
  arm text,
  seed bigint,
  job text not null references jobs (id),
  -- it was there before the experiment was
  reused boolean not null,
  primary key (experiment, key)
);

create index experiment_jobs_by_job on experiment_jobs (job);

-- The dataset that differs in nothing but being good (or bad): what a control arm learns. A name or an id.
alter table datasets add column twin text;
