-- The KL term of a step before its weight; null for a run without one.
alter table metrics add column kl_loss double precision;
