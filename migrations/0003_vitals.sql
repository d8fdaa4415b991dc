-- NaN where BA is zero; without entries in rows that are older than the column.
alter table norms add column stable_rank double precision[] not null default '{}';

-- What norms is for pairs, for a model that is trained whole; one row a step, the arrays follow norm_modules.
create table changes (
  job text not null constraint changes_job_fkey references jobs (id) on delete cascade,
  step bigint not null,
  change_norm double precision[] not null,
  grad_norm double precision[] not null,
  change_cosine_previous double precision[] not null,
  primary key (job, step)
);

-- Files of rank-1 vectors, each of consecutive recorded steps; they do not overlap, and one ends at every resumable state.
create table vectors (
  job text not null constraint vectors_job_fkey references jobs (id) on delete cascade,
  first_step bigint not null,
  last_step bigint not null,
  file jsonb not null,
  primary key (job, first_step)
);
