-- A fine-tune may keep a steering vector: neither low-rank pairs nor all weights.
alter table checkpoints drop constraint checkpoints_kind_check;
alter table checkpoints add constraint checkpoints_kind_check check (kind in ('lora', 'full', 'steering_vector'));
