//! What other schedulers are told, and what they are not; with their own checkers where they are installed.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use expect_test::{Expect, expect};

use super::zone::in_utc;
use super::*;
use crate::base::unit::parse_duration;
use crate::diag::{FileId, Span};
use crate::model::{NodeName, NodePath, NodeRef, Overlap, Schedule, Times};

const HERE: Span = Span { file: FileId(0), start: 0, len: 0 };

fn reference(env: Option<&str>, name: &str) -> NodeRef {
    let path = NodePath { project: "".into(), name: NodeName::from(name) };
    NodeRef { path, env: env.map(Into::into), state: None, span: HERE }
}

fn with(times: Times) -> Schedule {
    Schedule {
        stage: None,
        node: reference(Some("prod"), "db"),
        times,
        catch_up: false,
        jitter: None,
        overlap: Overlap::Skip,
        on_fail: None,
        span: HERE,
    }
}

fn cron(cron: &str, tz: &str) -> Schedule {
    with(Times::Cron { cron: cron.into(), tz: tz.into() })
}

fn every(text: &str) -> Schedule {
    with(Times::Every { every: parse_duration(text).unwrap(), text: text.into() })
}

fn around() -> Around {
    Around {
        project: "shop".into(),
        command: "envrun schedule export x".into(),
        program: "/usr/bin/envrun".into(),
        root: "/srv/my shop".into(),
        path: Some("/usr/bin:/opt/100% mine/bin".into()),
        zone: Some("Etc/UTC".into()),
        now: Timestamp(1_795_219_200_000),
        image: Some("registry/shop:1".into()),
        install: "cargo install envrun".into(),
        secrets: [("prod.db".to_owned(), vec!["PGPASSWORD".to_owned()])].into(),
        ..Around::default()
    }
}

fn texts(schedules: &[Schedule], platform: Platform, around: &Around) -> String {
    match export(schedules, platform, around) {
        Ok(files) => {
            let texts = files.iter().map(|file| format!("== {}\n{}", file.name, file.text));
            texts.collect::<Vec<_>>().join("\n")
        }
        Err(unsayable) => {
            let lines = unsayable.iter().map(|not| format!("{}: {}", not.label, not.what));
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

fn check(schedule: Schedule, platform: Platform, expected: Expect) {
    expected.assert_eq(&texts(&[schedule], platform, &around()));
}

fn backup() -> Schedule {
    Schedule { on_fail: Some(reference(None, "notify.slack")), ..cron("30 2 * * *", "UTC") }
}

#[test]
fn systemd() {
    let schedule = Schedule {
        catch_up: true,
        jitter: Some(Duration::from_secs(600)),
        ..Schedule { times: cron("30 2 * * 1-5", "America/New_York").times, ..backup() }
    };
    check(
        schedule,
        Platform::Systemd,
        expect![[r#"
        == shop-prod-db.timer
        # Made by `envrun schedule export x` from the Envfile: change that, and make this anew.
        [Unit]
        Description=shop: prod.db (30 2 * * 1-5 America/New_York)

        [Timer]
        OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 02:30:00 America/New_York
        Persistent=true
        RandomizedDelaySec=600s
        AccuracySec=1s

        [Install]
        WantedBy=timers.target

        == shop-prod-db.service
        # Made by `envrun schedule export x` from the Envfile: change that, and make this anew.
        [Unit]
        Description=shop: prod.db
        OnFailure=shop-prod-db-on-fail.service

        [Service]
        Type=oneshot
        WorkingDirectory=/srv/my shop
        Environment="PATH=/usr/bin:/opt/100%% mine/bin"
        ExecStart=/usr/bin/envrun run prod.db

        == shop-prod-db-on-fail.service
        # Made by `envrun schedule export x` from the Envfile: change that, and make this anew.
        [Unit]
        Description=shop: prod.notify.slack

        [Service]
        Type=oneshot
        WorkingDirectory=/srv/my shop
        Environment="PATH=/usr/bin:/opt/100%% mine/bin"
        ExecStart=/usr/bin/envrun run prod.notify.slack
    "#]],
    );
}

#[test]
fn crontab() {
    check(
        backup(),
        Platform::Cron,
        expect![[r#"
        == shop.crontab
        # Made by `envrun schedule export x` from the Envfile: change that, and make this anew.
        # Output is printed only of what failed, and cron mails it to MAILTO.
        SHELL=/bin/sh
        PATH=/usr/bin:/opt/100% mine/bin
        30 2 * * * { cd '/srv/my shop' && mkdir -p '/srv/my shop/.envrun/schedule' && flock -n -E 0 '/srv/my shop/.envrun/schedule/shop-prod-db.lock' /usr/bin/envrun run -o quiet prod.db; } || { cd '/srv/my shop' && /usr/bin/envrun run -o quiet prod.notify.slack; }
    "#]],
    );
    let allowed = Schedule { overlap: Overlap::Allow, ..cron("*/5 8-18 * * mon-fri", "Europe/Berlin") };
    let berlin = Around { zone: Some("Europe/Berlin".into()), path: None, ..around() };
    expect![[r#"
        == shop.crontab
        # Made by `envrun schedule export x` from the Envfile: change that, and make this anew.
        # Output is printed only of what failed, and cron mails it to MAILTO.
        SHELL=/bin/sh
        */5 8-18 * * 1,2,3,4,5 cd '/srv/my shop' && /usr/bin/envrun run -o quiet prod.db
    "#]]
    .assert_eq(&texts(std::slice::from_ref(&allowed), Platform::Cron, &berlin));
    let cronie = Around { cron_tz: true, path: None, ..around() };
    expect![[r#"
        == shop.crontab
        # Made by `envrun schedule export x` from the Envfile: change that, and make this anew.
        # Output is printed only of what failed, and cron mails it to MAILTO.
        SHELL=/bin/sh
        CRON_TZ=Europe/Berlin
        */5 8-18 * * 1,2,3,4,5 cd '/srv/my shop' && /usr/bin/envrun run -o quiet prod.db
    "#]]
    .assert_eq(&texts(&[allowed], Platform::Cron, &cronie));
}

#[test]
fn github() {
    check(
        backup(),
        Platform::Github,
        expect![[r#"
        == schedules.yml
        # Made by `envrun schedule export x` from the Envfile: change that, and make this anew.
        name: "shop schedules"
        on:
          schedule:
            # UTC; prod.db: 30 2 * * * UTC
            - cron: "30 2 * * *"
        permissions:
          contents: read
        jobs:
          shop-prod-db:
            name: "prod.db"
            if: "github.event.schedule == '30 2 * * *'"
            runs-on: ubuntu-latest
            # GitHub lets one run wait for the other; it cannot leave it out.
            concurrency:
              group: "envrun-prod.db"
              cancel-in-progress: false
            # Secrets of that environment, as GitHub's settings have them.
            environment: "prod"
            env:
              PGPASSWORD: ${{ secrets.PGPASSWORD }}
            steps:
              - uses: actions/checkout@v4
                with:
                  fetch-depth: 0
              - name: Install envrun
                run: "cargo install envrun"
              - name: "prod.db"
                run: "envrun run prod.db"
              - name: "prod.notify.slack"
                if: failure()
                run: "envrun run prod.notify.slack"
    "#]],
    );
}

#[test]
fn kubernetes() {
    check(
        backup(),
        Platform::Kubernetes,
        expect![[r#"
        == schedules.yaml
        # Made by `envrun schedule export x` from the Envfile: change that, and make this anew.
        ---
        apiVersion: batch/v1
        kind: CronJob
        metadata:
          name: "shop-prod-db"
          annotations:
            envrun/schedule: "prod.db 30 2 * * * UTC"
        spec:
          schedule: "30 2 * * *"
          timeZone: "UTC"
          concurrencyPolicy: Forbid
          startingDeadlineSeconds: 60
          jobTemplate:
            spec:
              backoffLimit: 0
              template:
                spec:
                  restartPolicy: Never
                  containers:
                    - name: envrun
                      image: "registry/shop:1"
                      command: ["/bin/sh", "-c", "envrun run prod.db || { status=$?; envrun run prod.notify.slack; exit $status; }"]
                      env:
                        - name: PGPASSWORD
                          valueFrom:
                            secretKeyRef:
                              name: "shop-prod"
                              key: PGPASSWORD
    "#]],
    );
    let caught_up =
        Schedule { catch_up: true, overlap: Overlap::Allow, ..cron("0 9 1 */3 *", "Europe/Berlin") };
    let plain = Around { secrets: Default::default(), ..around() };
    expect![[r#"
        == schedules.yaml
        # Made by `envrun schedule export x` from the Envfile: change that, and make this anew.
        ---
        apiVersion: batch/v1
        kind: CronJob
        metadata:
          name: "shop-prod-db"
          annotations:
            envrun/schedule: "prod.db 0 9 1 */3 * Europe/Berlin"
        spec:
          schedule: "0 9 1 */3 *"
          timeZone: "Europe/Berlin"
          concurrencyPolicy: Allow
          jobTemplate:
            spec:
              backoffLimit: 0
              template:
                spec:
                  restartPolicy: Never
                  containers:
                    - name: envrun
                      image: "registry/shop:1"
                      command: ["envrun", "run", "prod.db"]
    "#]]
    .assert_eq(&texts(&[caught_up], Platform::Kubernetes, &plain));
}

#[test]
fn what_a_platform_cannot_say() {
    let all = [
        cron("15 30 2 * * *", "UTC"),
        cron("0 0 L * *", "UTC"),
        Schedule {
            catch_up: true,
            jitter: Some(Duration::from_secs(5)),
            ..cron("0 2 * * *", "Europe/Berlin")
        },
        Schedule { overlap: Overlap::Queue, ..cron("0 2 1 * *", "Asia/Kolkata") },
        every("30s"),
        every("7m"),
        every("2m"),
    ];
    let platforms = [Platform::Systemd, Platform::Cron, Platform::Github, Platform::Kubernetes];
    let refused =
        platforms.map(|platform| format!("== {}\n{}", platform.word(), texts(&all, platform, &around())));
    expect![[r#"
        == systemd
        prod.db: systemd leaves a time out while the last run goes on; it does not know `overlap="queue"`
        == cron
        prod.db: cron knows no seconds: a minute is the shortest time of `15 30 2 * * * UTC`
        prod.db: cron has no word for the last day of a month (`L`)
        prod.db: cron runs on the clock of the machine, whose zone is `Etc/UTC`, and knows no `tz="Europe/Berlin"`
        prod.db: cron does not catch up on what was missed while the machine was off
        prod.db: cron knows no jitter
        prod.db: cron runs on the clock of the machine, whose zone is `Etc/UTC`, and knows no `tz="Asia/Kolkata"`
        prod.db: a run cannot wait for another in cron: it is left out (`skip`)
        prod.db: cron knows no seconds: a minute is the shortest time of `every 30s`
        prod.db: cron has no words for `every 7m`, which divides neither an hour nor a day
        == github
        prod.db: GitHub knows no seconds: a minute is the shortest time of `15 30 2 * * * UTC`
        prod.db: GitHub has no word for the last day of a month (`L`)
        prod.db: GitHub knows only UTC, and the clocks of `Europe/Berlin` are put forward and back
        prod.db: GitHub drops a time when it is busy, and does not catch up
        prod.db: GitHub knows no jitter; it is some minutes late by itself
        prod.db: GitHub knows only UTC, where `0 2 1 * *` of `Asia/Kolkata` falls on the day before or after
        prod.db: GitHub knows no seconds: a minute is the shortest time of `every 30s`
        prod.db: GitHub has no words for `every 7m`, which divides neither an hour nor a day
        prod.db: GitHub starts nothing more often than every five minutes, and this is `every 2m`
        == kubernetes
        prod.db: Kubernetes knows no seconds: a minute is the shortest time of `15 30 2 * * * UTC`
        prod.db: Kubernetes has no word for the last day of a month (`L`)
        prod.db: Kubernetes knows no jitter
        prod.db: Kubernetes can leave a time out (`skip`) or run both (`allow`), but no run waits for another
        prod.db: Kubernetes knows no seconds: a minute is the shortest time of `every 30s`
        prod.db: Kubernetes has no words for `every 7m`, which divides neither an hour nor a day"#]].assert_eq(&refused.join("\n"));
    // With leave the rest is written, and says what it is not; unless there is no rest.
    let partial = Around { partial: true, path: None, secrets: Default::default(), ..around() };
    expect![[r#"
        == shop.crontab
        # Made by `envrun schedule export x` from the Envfile: change that, and make this anew.
        # Output is printed only of what failed, and cron mails it to MAILTO.
        SHELL=/bin/sh
        # prod.db: left out: cron knows no seconds: a minute is the shortest time of `15 30 2 * * * UTC`
        # prod.db: left out: cron has no word for the last day of a month (`L`)
        # prod.db: left out: cron runs on the clock of the machine, whose zone is `Etc/UTC`, and knows no `tz="Europe/Berlin"`
        # prod.db: left out: cron does not catch up on what was missed while the machine was off
        # prod.db: left out: cron knows no jitter
        # prod.db: left out: cron runs on the clock of the machine, whose zone is `Etc/UTC`, and knows no `tz="Asia/Kolkata"`
        # prod.db: left out: a run cannot wait for another in cron: it is left out (`skip`)
        # prod.db: left out: cron knows no seconds: a minute is the shortest time of `every 30s`
        # prod.db: left out: cron has no words for `every 7m`, which divides neither an hour nor a day
        */2 * * * * cd '/srv/my shop' && mkdir -p '/srv/my shop/.envrun/schedule' && flock -n -E 0 '/srv/my shop/.envrun/schedule/shop-prod-db-7.lock' /usr/bin/envrun run -o quiet prod.db
    "#]].assert_eq(&texts(&all, Platform::Cron, &partial));
    expect!["prod.db: cron knows no seconds: a minute is the shortest time of `15 30 2 * * * UTC`"]
        .assert_eq(&texts(&all[..1], Platform::Cron, &partial));
}

#[test]
fn times_in_utc() {
    let utc = |text: &str, minutes: i64| {
        in_utc(&Cron::parse(text).unwrap(), minutes).map_or_else(|| "none".into(), |lines| lines.join(" | "))
    };
    // India is five and a half hours ahead, Honolulu ten behind.
    let (india, honolulu) = (330, -600);
    assert_eq!(utc("30 2 * * *", 0), "30 2 * * *");
    assert_eq!(utc("30 9 * * *", india), "0 4 * * *");
    assert_eq!(utc("0 9 * * mon-fri", india), "30 3 * * 1,2,3,4,5");
    assert_eq!(utc("0 2 * * mon", india), "30 20 * * 0");
    assert_eq!(utc("0 20 * * sat", honolulu), "0 6 * * 0");
    assert_eq!(utc("0 3,9 * * mon", india), "30 21 * * 0 | 30 3 * * 1");
    assert_eq!(utc("0,45 9 * * *", india), "15 4 * * * | 30 3 * * *");
    assert_eq!(utc("0 9 1 * *", india), "30 3 1 * *");
    assert_eq!(utc("0 2 1 * *", india), "none");
    assert_eq!(utc("* * * * *", india), "* * * * *");
}

#[test]
fn durations_that_divide_a_day_are_expressions() {
    let shown = |text: &str| {
        let every = parse_duration(text).unwrap();
        every_as_cron(every).map_or_else(|| "none".to_owned(), |cron| cron.text().to_owned())
    };
    let all = ["1s", "30s", "45s", "1m", "90s", "15m", "1h", "6h", "7h", "1d", "2d", "1w", "1500ms"];
    let lines: Vec<String> = all.iter().map(|text| format!("{text}: {}", shown(text))).collect();
    expect![[r#"
        1s: * * * * * *
        30s: */30 * * * * *
        45s: none
        1m: * * * * *
        90s: none
        15m: */15 * * * *
        1h: 0 * * * *
        6h: 0 */6 * * *
        7h: none
        1d: 0 0 * * *
        2d: none
        1w: 0 0 * * 4
        1500ms: none"#]]
    .assert_eq(&lines.join("\n"));
    // And name the same times.
    for text in all {
        let schedule = every(text);
        let Some(cron) = every_as_cron(parse_duration(text).unwrap()) else { continue };
        let due = crate::schedule::Due::of(&schedule).unwrap();
        let mut now = around().now;
        for _ in 0..50 {
            let next = due.next_after(now).unwrap();
            assert_eq!(cron.next_after(now, &TimeZone::UTC), Some(next), "{text}");
            now = next;
        }
    }
}

/// Runs a checker of the platform's own; `None` where there is none.
fn checked(program: &str, args: &[&str], input: &str) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("TZ", "UTC");
    // Somebody's own systemd wants a place, whoever that is.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(_) if std::env::var_os("CI").is_none() => {
            #[expect(clippy::print_stderr, reason = "whoever runs the tests has to hear of it")]
            let () = eprintln!("SKIPPED: there is no {program}");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    // A checker that reads nothing has closed its end.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said))
}

/// systemd itself reads every expression, and names the same next times.
#[test]
fn systemd_agrees_about_the_times() {
    for (text, tz) in [
        ("30 2 * * *", "Europe/Berlin"),
        ("*/5 8-18 * * mon-fri", "America/New_York"),
        ("15,45 0 12 1,15 * *", "UTC"),
        ("0 0 L * *", "UTC"),
        ("0 9 1 */3 *", "Asia/Tokyo"),
        ("0 0 1 * fri", "UTC"),
        ("0 4 29 2 *", "UTC"),
        ("0 22 10,L * sun", "UTC"),
    ] {
        let cron = Cron::parse(text).unwrap();
        let zone = TimeZone::get(tz).unwrap();
        let lines: Vec<String> =
            systemd::calendars(&cron).iter().map(|line| format!("{line} {tz}")).collect();
        let base = "2026-11-21 00:00:00 UTC";
        let mut args = vec!["calendar", "--iterations=12", "--base-time", base];
        args.extend(lines.iter().map(String::as_str));
        let Some((good, said)) = checked("systemd-analyze", &args, "") else { return };
        assert!(good, "{text}: {lines:?}: {said}");
        let of_a_time = |line: &'_ str| {
            let (key, at) = line.trim().split_once(": ")?;
            let is_time = key.starts_with("Next elapse") || key.starts_with("Iter.");
            let at = at.trim().strip_suffix(" UTC").filter(|_| is_time)?;
            let civil = jiff::civil::DateTime::strptime("%a %Y-%m-%d %H:%M:%S", at).ok()?;
            let moment = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
            u64::try_from(moment.as_millisecond()).ok()
        };
        let mut theirs: Vec<u64> = said.lines().filter_map(of_a_time).collect();
        theirs.sort_unstable();
        theirs.dedup();
        let count = theirs.len().min(if lines.len() == 1 { 12 } else { 6 });
        assert!(count > 0, "{text}: {said}");
        let mut now = around().now;
        let ours: Vec<u64> = (0..count)
            .map(|_| {
                now = cron.next_after(now, &zone).unwrap();
                now.0
            })
            .collect();
        assert_eq!(ours, theirs[..count], "{text} of {tz}: {lines:?}: {said}");
    }
}

/// `systemd-analyze verify` finds nothing wrong with the units, whatever stands in names and paths.
#[test]
fn systemd_takes_the_units() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("my 100% $HOME shop");
    std::fs::create_dir(&root).unwrap();
    let around = Around {
        root: root.to_str().unwrap().into(),
        program: "/bin/true".into(),
        file: Some(root.join("my \"own\" Envfile.kdl").to_str().unwrap().into()),
        ..around()
    };
    let jitter = Some(Duration::from_millis(1500));
    let all = [backup(), Schedule { catch_up: true, jitter, ..every("7m") }, every("30s")];
    let files = export(&all, Platform::Systemd, &around).unwrap();
    let mut args = vec!["verify".to_owned(), "--user".to_owned(), "--man=no".to_owned()];
    for file in &files {
        let path = dir.path().join(&file.name);
        std::fs::write(&path, &file.text).unwrap();
        args.push(path.to_str().unwrap().to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let Some((good, said)) = checked("systemd-analyze", &args, "") else { return };
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("shop-")).collect();
    assert!(good && ours.is_empty(), "{said}");
}

/// YAML as another program reads it.
#[test]
fn others_read_the_yaml() {
    const READ: &str = "import sys, json, yaml\nprint(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    if !checked("python3", &["-c", "import yaml"], "").is_some_and(|(good, _)| good) {
        #[expect(clippy::print_stderr, reason = "whoever runs the tests has to hear of it")]
        let () = eprintln!("SKIPPED: python3 has no yaml");
        return;
    }
    for platform in [Platform::Github, Platform::Kubernetes] {
        let files = export(&[backup(), every("1h")], platform, &around()).unwrap();
        let (good, said) = checked("python3", &["-c", READ], &files[0].text).unwrap();
        assert!(good, "{said}");
        let read: serde_json::Value = serde_json::from_str(&said).unwrap();
        match platform {
            Platform::Github => {
                // `on` is a boolean in the old YAML that this program reads.
                assert_eq!(read[0]["true"]["schedule"][0]["cron"], "30 2 * * *");
                assert_eq!(read[0]["jobs"]["shop-prod-db"]["if"], "github.event.schedule == '30 2 * * *'");
            }
            _ => {
                assert_eq!(read.as_array().unwrap().len(), 2);
                assert_eq!(read[0]["spec"]["schedule"], "30 2 * * *");
                let pod = &read[1]["spec"]["jobTemplate"]["spec"]["template"]["spec"];
                assert_eq!(pod["containers"][0]["command"][2], "prod.db");
            }
        }
    }
}
