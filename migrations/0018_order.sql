-- What each user had of the devices, by day (UTC): what fair shares, quotas and the weekly table are read from.
create table device_use (
  owner text not null,
  day date not null,
  -- seconds that his jobs ran
  seconds double precision not null,
  -- the same, each second times the part of the device that the job took
  device_seconds double precision not null,
  attempts bigint not null,
  primary key (owner, day)
);

-- The part of the device that an attempt took, above 0 and up to 1.
alter table attempts add column share double precision not null default 1
  constraint attempts_share_check check (share > 0 and share <= 1);

-- Somebody asked for work that a colleague's job does or did.
create table reuses (
  id bigint generated always as identity primary key,
  job text not null constraint reuses_job_fkey references jobs (id) on delete cascade,
  owner text not null,
  at timestamptz not null default queue_now()
);
create index reuses_owner_idx on reuses (owner, at);

-- The first jobs of each user in each band, without a look at the others.
create index jobs_line_idx on jobs (owner, priority, queued_at, id) where state = 'queued';

-- What ran before the table was there.
insert into device_use (owner, day, seconds, device_seconds, attempts)
select j.owner, (a.ended_at at time zone 'UTC')::date, sum(extract(epoch from a.ended_at - a.started_at)),
  sum(extract(epoch from a.ended_at - a.started_at)), count(*)
from attempts a join jobs j on j.id = a.job where a.ended_at is not null group by 1, 2;

-- An attempt that ends is counted, whatever ended it.
create function count_device_use() returns trigger language plpgsql as $$
begin
  insert into device_use as u (owner, day, seconds, device_seconds, attempts)
  select owner, (new.ended_at at time zone 'UTC')::date, ran.seconds, ran.seconds * new.share, 1
  from jobs, (select greatest(0, extract(epoch from new.ended_at - new.started_at)) as seconds) ran where id = new.job
  on conflict (owner, day) do update set seconds = u.seconds + excluded.seconds,
    device_seconds = u.device_seconds + excluded.device_seconds, attempts = u.attempts + 1;
  return null;
end $$;
create trigger attempts_count after update of ended_at on attempts
  for each row when (old.ended_at is null and new.ended_at is not null) execute function count_device_use();

-- When a job of this user and band last started: age counts from there, so that a long list of one's own does not age by itself.
create table served (
  owner text not null,
  priority smallint not null,
  at timestamptz not null,
  primary key (owner, priority)
);

-- How long work of a kind usually takes.
create index attempts_ended_idx on attempts (ended_at desc) where outcome = 'succeeded';
