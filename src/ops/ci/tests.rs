use expect_test::{Expect, expect};

use super::*;
use crate::load::{Texts, load};

const SHOP: &str = r#"
project "shop"
state git="origin"
env "build" { when { branch "main" } }
env "prod" { secrets { TOKEN; DB_PASSWORD } }
stage "lint" { run "t" }
stage "unit" { desc "all \"unit\" tests"; run "t" }
stage "build" env="build" after="lint|unit" { run "t" }
stage "prod" env="prod" after="build" { when { branch "main" "release/*"; ci }; guard { clean }; run "t" }
task "t" { run "true" }
"#;

fn check(text: &str, system: System, expected: Expect) {
    let file = std::path::PathBuf::from("/p/Envfile.kdl");
    let texts = Texts::Memory([(file.clone(), text.to_owned())].into());
    let loaded = load(&file, &texts).unwrap();
    assert!(!loaded.has_errors());
    let made = workflow(&loaded.envfile, "folder".into(), system, Some("make \"envrun\"")).map(|workflow| {
        match system {
            System::Github => github::text(&workflow),
            System::Gitlab => gitlab::text(&workflow),
        }
    });
    expected.assert_eq(&made.unwrap_or_else(|problem| format!("{problem}\n")));
}

#[test]
fn github() {
    check(
        SHOP,
        System::Github,
        expect![[r##"
            # Made by `envrun ci export github --install "make \"envrun\""` from the Envfile: change that, and make this anew.
            # One job per stage. What a stage does, when it is skipped and what refuses it stands in the Envfile.
            name: "shop"
            # Not for pull requests of forks, which may not push a record: `envrun TARGET` needs none.
            on:
              push:
              workflow_dispatch:
            permissions:
              # What came of each stage is pushed to `refs/envrun/stages`, which is no branch.
              contents: write
            jobs:
              lint:
                name: "lint"
                runs-on: ubuntu-latest
                env:
                  ENVRUN_CACHE_DIR: ${{ github.workspace }}/.envrun/cache
                steps:
                  - uses: actions/checkout@v4
                    with:
                      fetch-depth: 0
                  - uses: actions/cache@v4
                    with:
                      path: |
                        .envrun/cache/results
                        .envrun/cache/blobs
                        .envrun/cache/paths
                      key: envrun.${{ runner.os }}.${{ github.sha }}.lint.${{ github.run_id }}.${{ github.run_attempt }}
                      restore-keys: |
                        envrun.${{ runner.os }}.
                  - name: Install envrun
                    run: "make \"envrun\""
                  - name: "envrun stage lint"
                    run: "envrun stage lint"
              unit:
                name: "unit: all \"unit\" tests"
                runs-on: ubuntu-latest
                env:
                  ENVRUN_CACHE_DIR: ${{ github.workspace }}/.envrun/cache
                steps:
                  - uses: actions/checkout@v4
                    with:
                      fetch-depth: 0
                  - uses: actions/cache@v4
                    with:
                      path: |
                        .envrun/cache/results
                        .envrun/cache/blobs
                        .envrun/cache/paths
                      key: envrun.${{ runner.os }}.${{ github.sha }}.unit.${{ github.run_id }}.${{ github.run_attempt }}
                      restore-keys: |
                        envrun.${{ runner.os }}.
                  - name: Install envrun
                    run: "make \"envrun\""
                  - name: "envrun stage unit"
                    run: "envrun stage unit"
              build:
                name: "build"
                runs-on: ubuntu-latest
                needs: [lint, unit]
                if: "(github.ref_name == 'main')"
                # Secrets and approvals of that environment, as GitHub's settings have them.
                environment: "build"
                env:
                  ENVRUN_CACHE_DIR: ${{ github.workspace }}/.envrun/cache
                steps:
                  - uses: actions/checkout@v4
                    with:
                      fetch-depth: 0
                  - uses: actions/cache@v4
                    with:
                      path: |
                        .envrun/cache/results
                        .envrun/cache/blobs
                        .envrun/cache/paths
                      key: envrun.${{ runner.os }}.${{ github.sha }}.build.${{ github.run_id }}.${{ github.run_attempt }}
                      restore-keys: |
                        envrun.${{ runner.os }}.${{ github.sha }}.lint.
                        envrun.${{ runner.os }}.
                  - uses: actions/cache/restore@v4
                    with:
                      path: |
                        .envrun/cache/results
                        .envrun/cache/blobs
                        .envrun/cache/paths
                      key: envrun.${{ runner.os }}.${{ github.sha }}.unit.none
                      restore-keys: envrun.${{ runner.os }}.${{ github.sha }}.unit.
                  - name: Install envrun
                    run: "make \"envrun\""
                  - name: "envrun stage build"
                    run: "envrun stage build"
              prod:
                name: "prod"
                runs-on: ubuntu-latest
                needs: [build]
                if: "(github.ref_name == 'main') && (github.ref_name == 'main' || startsWith(github.ref_name, 'release/'))"
                # Secrets and approvals of that environment, as GitHub's settings have them.
                environment: "prod"
                env:
                  ENVRUN_CACHE_DIR: ${{ github.workspace }}/.envrun/cache
                  DB_PASSWORD: ${{ secrets.DB_PASSWORD }}
                  TOKEN: ${{ secrets.TOKEN }}
                steps:
                  - uses: actions/checkout@v4
                    with:
                      fetch-depth: 0
                  - uses: actions/cache@v4
                    with:
                      path: |
                        .envrun/cache/results
                        .envrun/cache/blobs
                        .envrun/cache/paths
                      key: envrun.${{ runner.os }}.${{ github.sha }}.prod.${{ github.run_id }}.${{ github.run_attempt }}
                      restore-keys: |
                        envrun.${{ runner.os }}.${{ github.sha }}.build.
                        envrun.${{ runner.os }}.
                  - name: Install envrun
                    run: "make \"envrun\""
                  - name: "envrun stage prod"
                    run: "envrun stage prod"
        "##]],
    );
}

#[test]
fn gitlab() {
    check(
        SHOP,
        System::Gitlab,
        expect![[r##"
            # Made by `envrun ci export gitlab --install "make \"envrun\""` from the Envfile: change that, and make this anew.
            # One job per stage. What a stage does, when it is skipped and what refuses it stands in the Envfile.
            # What came of each stage is pushed to `refs/envrun/stages`, which is no branch: the project's settings must let job
            # tokens push (Settings, CI/CD, Job token permissions).
            variables:
              GIT_DEPTH: "0"
              ENVRUN_CACHE_DIR: $CI_PROJECT_DIR/.envrun/cache
            default:
              image: rust:latest
              before_script:
                - "make \"envrun\""
              cache:
                key: envrun
                paths: [.envrun/cache/results, .envrun/cache/blobs, .envrun/cache/paths]
                when: always
            stages:
              - "lint"
              - "unit"
              - "build"
              - "prod"
            "stage-lint":
              stage: "lint"
              script:
                - "envrun stage lint"
            "stage-unit":
              stage: "unit"
              # all "unit" tests
              script:
                - "envrun stage unit"
            "stage-build":
              stage: "build"
              needs: ["stage-lint", "stage-unit"]
              environment: "build"
              rules:
                - if: "($CI_COMMIT_BRANCH =~ /^main$/)"
              script:
                - "envrun stage build"
            "stage-prod":
              stage: "prod"
              needs: ["stage-build"]
              environment: "prod"
              # Reads the CI/CD variables DB_PASSWORD, TOKEN (Settings, CI/CD, Variables), scoped to its environment.
              rules:
                - if: "($CI_COMMIT_BRANCH =~ /^main$/) && ($CI_COMMIT_BRANCH =~ /^main$/ || $CI_COMMIT_BRANCH =~ /^release\\//)"
              script:
                - "envrun stage prod"
        "##]],
    );
}

#[test]
fn what_a_workflow_cannot_be_made_of() {
    check(
        "task \"t\" { run \"true\" }",
        System::Github,
        expect![[r#"
        the Envfile declares no stage, and a workflow has one job for each
    "#]],
    );
    check(
        "stage \"a\" { run \"t\" }\nstage \"b\" after=\"a\" { run \"t\" }\ntask \"t\" { run \"true\" }",
        System::Github,
        expect![[r#"
            every job has a checkout of its own, so none would see what came of the stages before it
        "#]],
    );
}

#[test]
fn globs_that_only_say_how_a_name_begins() {
    assert_eq!(beginning("main"), Some(("main", true)));
    assert_eq!(beginning("release/*"), Some(("release/", false)));
    assert_eq!(beginning("release/**"), Some(("release/", false)));
    assert_eq!(beginning("*"), Some(("", false)));
    assert_eq!(beginning("v?.*"), None);
    assert_eq!(beginning("*-rc"), None);
}

#[test]
fn every_job_has_a_name_of_its_own() {
    let mut jobs: Vec<Job> = Vec::new();
    for stage in ["a:b", "a-b", "1st", "a.b"] {
        let id = id(stage, &jobs);
        let stage = stage.to_owned();
        let (needs, branches, tags, secrets) = (vec![], vec![], vec![], BTreeSet::new());
        jobs.push(Job { id, stage, desc: None, env: None, needs, branches, tags, secrets });
    }
    let ids: Vec<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, ["a-b", "a-b-2", "_1st", "a-b-3"]);
}
