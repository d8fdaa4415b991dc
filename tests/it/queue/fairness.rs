//! What users get of the devices when all want more: virtual hours on the real queue.
//!
//! Five users and fifty workers; the database's clock is a row that the simulation sets from event to event, so an hour takes seconds.
//! What is under test is the product's own code: its snapshot, its order, its claim, its ends. Nothing here decides who is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use sqlx::PgConnection;
use uuid::Uuid;
use vivarium::domain::ids::JobId;
use vivarium::domain::scheduling::line::Rules;
use vivarium::storage::Storage;
use vivarium::storage::queue::{self, Claim};

use crate::support::{TestDatabase, database};

const WORKERS: usize = 50;
const HOUR: u64 = 3600;
/// Users, and the range of seconds that their jobs take.
const USERS: [(&str, u64, u64); 5] = [
    ("long", 600, 900),
    ("short", 40, 120),
    ("mixed", 60, 600),
    ("bursts", 120, 240),
    ("patient", 180, 300),
];

/// Numbers that look random: SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }
}

/// A job that was sent.
#[derive(Clone, Copy)]
struct Sent {
    user: usize,
    seconds: u64,
    at: u64,
    low: bool,
}

struct World {
    _database: TestDatabase,
    sql: PgConnection,
    storage: Storage,
    numbers: Numbers,
    sent: BTreeMap<JobId, Sent>,
    waiting: [u64; 5],
    /// (start, end, job) of every attempt.
    ran: Vec<(u64, u64, JobId)>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let database = database().await;
        let mut sql = database.connection().await;
        let clock = "create table virtual_clock (at timestamptz not null);
            insert into virtual_clock values ('2030-01-01T00:00:00Z');
            create or replace function queue_now() returns timestamptz language sql volatile as 'select at from virtual_clock'";
        sqlx::raw_sql(clock).execute(&mut sql).await.unwrap();
        let rules = Rules {
            ageing_seconds: 900.0,
            ..Rules::default()
        };
        Self {
            storage: database.storage().await.ordered_by(rules),
            _database: database,
            sql,
            numbers: Numbers(seed),
            sent: BTreeMap::new(),
            waiting: [0; 5],
            ran: Vec::new(),
        }
    }

    async fn set(&mut self, now: u64) {
        let query = "update virtual_clock set at = '2030-01-01T00:00:00Z'::timestamptz + make_interval(secs => $1)";
        let query = sqlx::query(query).bind(now as f64);
        query.execute(&mut self.sql).await.unwrap();
    }

    async fn send(&mut self, now: u64, user: usize, low: bool) {
        let id = JobId::from_uuid(Uuid::now_v7());
        let (name, least, most) = USERS[user];
        let seconds = self.numbers.between(least, most);
        sqlx::query(
            "insert into jobs (id, kind, owner, state, priority, spec, numerics_hash, spec_hash, queued_at)
             values ($1, 'register', $2, 'queued', $3, '{}', $1, $1, queue_now())",
        )
        .bind(id.as_str())
        .bind(name)
        .bind(if low { 2_i16 } else { 1 })
        .execute(&mut self.sql)
        .await
        .unwrap();
        self.waiting[user] += 1;
        let sent = Sent {
            user,
            seconds,
            at: now,
            low,
        };
        self.sent.insert(id, sent);
    }

    /// Everybody always has more to do: the third sends one job after another, the fourth forty at once, and so on.
    async fn keep_busy(&mut self, now: u64) {
        for (user, (name, _, _)) in USERS.into_iter().enumerate() {
            let (least, burst) = match name {
                "bursts" => (30, 40),
                "short" => (40, 20),
                "long" => (12, 5),
                _ => (25, 5),
            };
            if self.waiting[user] < least {
                for _ in 0..burst {
                    self.send(now, user, false).await;
                }
            }
        }
    }

    async fn claim(&mut self) -> Option<Claim> {
        queue::claim(&self.storage, "w", 1e6).await.unwrap()
    }

    /// Runs the workers until `end`.
    async fn run(&mut self, end: u64) {
        let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let mut claims: Vec<Option<(Claim, u64)>> = vec![None; WORKERS];
        let mut now = 0;
        let mut idle: Vec<usize> = (0..WORKERS).collect();
        loop {
            self.set(now).await;
            self.keep_busy(now).await;
            while let Some(worker) = idle.pop() {
                let claim = self.claim().await.expect("everybody always has a job");
                let sent = self.sent[&claim.lease.job];
                self.waiting[sent.user] -= 1;
                running.push(Reverse((now + sent.seconds, worker)));
                claims[worker] = Some((claim, now));
            }
            let Some(Reverse((at, worker))) = running.pop() else {
                return;
            };
            now = at.min(end);
            self.set(now).await;
            if at > end {
                running.push(Reverse((at, worker)));
                for (claim, start) in claims.into_iter().flatten() {
                    self.ran.push((start, end, claim.lease.job));
                }
                return;
            }
            let (claim, start) = claims[worker].take().expect("what ends has started");
            queue::finish_succeeded(&self.storage, &claim.lease)
                .await
                .unwrap();
            self.ran.push((start, at, claim.lease.job));
            idle.push(worker);
        }
    }

    /// Device seconds of each user.
    fn used(&self) -> [u64; 5] {
        let mut used = [0; 5];
        for (start, end, job) in &self.ran {
            used[self.sent[job].user] += end - start;
        }
        used
    }

    /// The longest time in which a user had jobs waiting and none of his started.
    fn longest_denial(&self, end: u64) -> u64 {
        let denial = |user: usize| {
            let own = |job: &JobId| self.sent[job].user == user;
            let starts = self.ran.iter().filter(|(_, _, job)| own(job));
            let mut starts: Vec<u64> = starts.map(|(start, _, _)| *start).collect();
            starts.extend([0, end]);
            starts.sort_unstable();
            let gaps = starts.windows(2).map(|pair| pair[1] - pair[0]);
            gaps.max().unwrap_or(end)
        };
        (0..USERS.len()).map(denial).max().unwrap_or(end)
    }

    /// Jobs of the first quarter of an hour that have not started by the end.
    fn left_behind(&self) -> usize {
        let started: BTreeSet<&JobId> = self.ran.iter().map(|(_, _, job)| job).collect();
        let early = self.sent.iter().filter(|(_, sent)| sent.at <= HOUR / 4);
        early.filter(|(job, _)| !started.contains(job)).count()
    }
}

/// The largest relative difference from an equal share.
fn worst(used: &[u64; 5]) -> f64 {
    let equal = used.iter().sum::<u64>() as f64 / used.len() as f64;
    let off = used.iter().map(|&own| (own as f64 / equal - 1.0).abs());
    off.fold(0.0, f64::max)
}

async fn hour(seed: u64) -> String {
    let mut world = World::new(seed).await;
    // One job that waits in the low band for an hour in which the normal band is never empty.
    world.set(0).await;
    world.send(0, 4, true).await;
    world.run(HOUR).await;
    let used = world.used();
    let shares = used.map(|own| own as f64 / (WORKERS as u64 * HOUR) as f64 * 100.0);
    let shares = shares.map(|share| format!("{share:5.2}")).join(" ");
    let low = world.sent.iter().find(|(_, sent)| sent.low).unwrap().0;
    let low_start = world.ran.iter().find(|(_, _, job)| job == low);
    let low_start = low_start.map(|(start, _, _)| *start);
    let (denial, left) = (world.longest_denial(HOUR), world.left_behind());
    println!(
        "seed {seed:2}: shares {shares} %, off by {:4.2} %, {} attempts, longest time without a start {denial} s, low job at {low_start:?} s",
        worst(&used) * 100.0,
        world.ran.len()
    );
    let mut wrong = String::new();
    if worst(&used) > 0.05 {
        wrong += &format!("seed {seed}: {used:?} is not within 5 % of equal; ");
    }
    // Above the normal band after 900 s, it has to be before whatever came later.
    if low_start.is_none_or(|start| !(900..=1800).contains(&start)) {
        wrong += &format!("seed {seed}: the low job started at {low_start:?}; ");
    }
    // The longest jobs take 900 s, and all slots begin at once.
    if denial > 900 || left > 0 {
        wrong += &format!(
            "seed {seed}: nothing of a user started for {denial} s, {left} early jobs never did; "
        );
    }
    wrong
}

/// *Tolerance* 5 % of each user's entitlement: a tenth of an hour's device time hangs on jobs that are under way at its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_users_who_all_want_more_get_equal_shares_and_nobody_starves() {
    let (even, odd) = tokio::join!(
        tokio::spawn(async { hours((0..20).step_by(2)).await }),
        tokio::spawn(async { hours((1..20).step_by(2)).await }),
    );
    let wrong = even.unwrap() + &odd.unwrap();
    assert!(wrong.is_empty(), "{wrong}");
}

async fn hours(seeds: impl Iterator<Item = u64>) -> String {
    let mut wrong = String::new();
    for seed in seeds {
        wrong += &hour(seed).await;
    }
    wrong
}
