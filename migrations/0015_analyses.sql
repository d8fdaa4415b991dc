-- Geometry and transitions of a list of runs, left behind by jobs of a kind of their own.
alter table jobs drop constraint jobs_kind_check;
alter table jobs add constraint jobs_kind_check check (kind in ('register', 'finetune', 'evaluate', 'analyze'));

create table analyses (
  id text primary key,
  job text not null constraint analyses_job_key unique
    constraint analyses_job_fkey references jobs (id) on delete cascade,
  settings jsonb not null,
  -- filled by the job's attempt: the series of every run, and the transitions
  result jsonb,
  created_at timestamptz not null default queue_now()
);
