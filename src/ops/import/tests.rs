use expect_test::expect;

use super::ninja;

#[test]
fn a_manifest_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::write(
        root.join("build.ninja"),
        "\
ninja_required_version = 1.5
builddir = out
cflags = -O2 $
    -Wall
pool link
  depth = 1
rule cc
  command = cc $cflags -MD -MF $out.d -c $in -o $out
  description = CC $out
  depfile = $out.d
  deps = gcc
rule link
  command = cc @$out.rsp -o $out
  rspfile = $out.rsp
  rspfile_content = $in $libs
  pool = link
rule regenerate
  command = ./configure
  generator = 1
build $builddir/a.o: cc src/a.c | src/gen.h || out/stamp
build $builddir/b.o: cc src/b$ b.c
  cflags = -O0
build out/stamp: phony
build out/app | out/app.map: link out/a.o out/b.o |@ out/check
  libs = -lm -l$$x
build out/check: phony out/app
build build.ninja: regenerate configure
default out/app
",
    )
    .unwrap();
    let text = ninja::envfile(&root, &root.join("build.ninja")).unwrap();
    expect![[r#"
        // Made by `envrun import ninja` from build.ninja.
        pool "link" 1

        task "out/a.o" {
            desc "CC out/a.o"
            needs "out/stamp"
            inputs "src/a.c" "src/gen.h"
            outputs "out/a.o"
            depfile "out/a.o.d"
            run "cc -O2 -Wall -MD -MF out/a.o.d -c src/a.c -o out/a.o"
        }

        task "out/b.o" {
            desc "CC out/b.o"
            inputs "src/b b.c"
            outputs "out/b.o"
            depfile "out/b.o.d"
            run "cc -O0 -MD -MF out/b.o.d -c 'src/b b.c' -o out/b.o"
        }

        task "out/stamp" {
        }

        task "out/app" {
            needs "out/a.o" "out/b.o"
            outputs "out/app" "out/app.map"
            pool "link"
            run "sh" "-c" "printf '%s' \"$1\" > \"$2\"" "sh" "out/a.o out/b.o -lm -l$x" "out/app.rsp"
            run "cc @out/app.rsp -o out/app"
        }

        task "out/check" {
            needs "out/app"
        }

        // left out: `build.ninja`, which would write the manifest anew

        task "default" {
            desc "What `ninja` makes when nothing is named"
            needs "out/app"
        }
    "#]]
    .assert_eq(&text);
}

#[test]
fn mistakes_have_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = dir.path().join("build.ninja");
    std::fs::write(&manifest, "a = b\n\nbuild x cc y\n").unwrap();
    let error = ninja::envfile(dir.path(), &manifest).unwrap_err().to_string();
    assert!(error.ends_with("build.ninja:3: a `build` line wants `outputs: rule inputs`"), "{error}");
}
