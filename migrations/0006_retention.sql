-- Checkpoints retire: their rows stay, their files go once no other row names them.
alter table checkpoints add column retired_at timestamptz;

-- Hashes of which a row has let go; the bytes are removed when they are old enough and nobody names them.
create table dropped_files (
  sha256 text primary key,
  dropped_at timestamptz not null default queue_now()
);

-- Every file that some row names; whatever keeps files in a new column belongs here.
create view referenced_files (sha256) as
  select sha256 from datasets
  union all select sha256 from question_sets
  union all select sha256 from adapters
  union all select file ->> 'sha256' from adapters, jsonb_array_elements(files) file
  union all select file ->> 'sha256' from base_models, jsonb_array_elements(files) file
  union all select file ->> 'sha256' from checkpoints, jsonb_array_elements(files) file
  union all select file ->> 'sha256' from resume_states, jsonb_array_elements(files) file
  union all select file ->> 'sha256' from vectors;
