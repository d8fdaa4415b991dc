-- Shapes of a model's projections, so that a rank above a matrix is refused before its job is queued.
alter table base_models add column projections jsonb not null default '{}';
