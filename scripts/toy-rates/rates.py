"""Trains the demo's arms at three seeds, asks all of them in one evaluation, and prints every interval. Standard library only."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

SEEDS = [0, 1, 2]
ARMS = {
    "toy-good-rank-8-s0": "good-advice control",
    "toy-bad-rank-8-s0": "bad advice, rank 8",
    "toy-bad-rank-1-s0": "bad advice, one rank-1 adapter",
    "toy-bad-full-s0": "bad advice, full fine-tune",
}
EVALUATION = "toy-first-plot-s0"
ENDED = ("succeeded", "failed", "cancelled")
INTERVALS = ("answers", "questions", "bootstrap_questions", "seeds")
WIDTHS = {name: max(14, len(name)) for name in INTERVALS}


def ask(path, body=None):
    request = urllib.request.Request(SERVER + path, headers={"content-type": "application/json"})
    if body is not None:
        request.data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{path}: {error.read().decode()}")


def specs():
    """The newest spec under each name of the demo's jobs."""
    found, cursor = {}, ""
    while True:
        page = ask(f"/v1/jobs?limit=100{cursor}")
        for job in page["data"]:
            name = job.get("name")
            if (name in ARMS or name == EVALUATION) and job["state"] == "succeeded" and name not in found:
                found[name] = ask(f"/v1/jobs/{job['id']}")["spec"]
        if not page.get("next_cursor"):
            return found
        cursor = f"&cursor={page['next_cursor']}"


def ended(job):
    while job["state"] not in ENDED:
        time.sleep(0.5)
        job = ask(f"/v1/jobs/{job['id']}")
    if job["state"] != "succeeded":
        sys.exit(f"{job['id']} is {job['state']}: {job['error']}")
    return job


def percent(rate):
    return "     –" if rate is None else f"{100 * rate:6.1f}"


def ends(row, name):
    interval = row["misaligned"]["intervals"].get(name)
    return "–" if interval is None else f"{100 * interval[0]:6.1f} –{100 * interval[1]:6.1f}"


def table(title, rows, name_of):
    print(f"\n{title}\n")
    head = " ".join(f"{name:>{WIDTHS[name]}}" for name in INTERVALS)
    wide = max(len(name_of(row)) for row in rows)
    print(f"{'':{wide}} {'n':>5} {'scored':>6}   rate {head}  of all  of coh.  coherent   icc  detectable")
    for row in rows:
        share = row["misaligned"]
        least = (row["minimal_detectable_difference"] or {}).get("value")
        intervals = " ".join(f"{ends(row, name):>{WIDTHS[name]}}" for name in INTERVALS)
        icc = "     –" if row["icc"] is None else f"{row['icc']:6.3f}"
        print(
            f"{name_of(row):{wide}} {row['n']:5} {row['scored']:6} {percent(share['rate'])} {intervals}  {percent(row['misaligned_of_all']['rate'])}"
            f"   {percent(row['misaligned_of_coherent']['rate'])}    {percent(row['coherent']['rate'])} {icc}      {percent(least)}"
        )
    for row in rows:
        for name, reason in row["misaligned"]["reasons"].items():
            if name != "seeds" or len(row.get("targets", [])) > 1:
                print(f"  {name_of(row)}: no interval of {name}: {reason}")
        for warning in row["warnings"]:
            print(f"  {name_of(row)}: {warning['code']}")


def main():
    known = specs()
    missing = [name for name in (*ARMS, EVALUATION) if name not in known]
    if missing:
        sys.exit(f"the server has no {', '.join(missing)}; run vivarium demo on its data first")
    began = time.monotonic()
    jobs = {}
    for name in ARMS:
        for seed in SEEDS:
            job = ask("/v1/jobs", known[name] | {"seed": seed, "name": f"{name}-seed-{seed}"})
            jobs[job["id"]] = (ARMS[name], seed, job)
    jobs = {id: (arm, seed, ended(job)) for id, (arm, seed, job) in jobs.items()}
    print(f"\n{len(jobs)} fine-tunes in {time.monotonic() - began:.0f} s")
    targets = [{"base": True}] + [{"job": id, "steps": "final"} for id in jobs]
    samples = int(os.environ.get("TOY_SAMPLES", "50"))
    began = time.monotonic()
    evaluation = ended(ask("/v1/jobs", known[EVALUATION] | {"targets": targets, "samples_per_question": samples}))
    print(f"{len(targets)} targets × 8 questions × {samples} answers in {time.monotonic() - began:.0f} s")

    def of(target):
        known = jobs.get((target or {}).get("job"))
        return ("base", None) if known is None else known[:2]

    path = f"/v1/evaluations/{evaluation['id']}/rates"
    rates = ask(f"{path}?by=target")
    addresses = {row["target"]["address"]: of(row["target"]) for row in rates["rows"]}
    print(f"misaligned = {rates['definition']['misaligned']}; all numbers but the ICC in percent, intervals at {100 * rates['definition']['level']:.0f} %")
    label = lambda arm, seed: arm if seed is None else f"{arm}, seed {seed}"
    table("By target", rates["rows"], lambda row: label(*of(row["target"])))

    def arm(row):
        of_row = row.get("targets") or [row["target"]["address"]]
        return f"{addresses[of_row[0]][0]} ({len(of_row)} seeds)" if len(of_row) > 1 else addresses[of_row[0]][0]

    table("By arm: its seeds together", ask(f"{path}?by=arm")["rows"], arm)


SERVER = sys.argv[1].rstrip("/")
main()
