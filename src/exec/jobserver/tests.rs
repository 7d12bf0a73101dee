use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

/// A PATH whose `make` knows, or does not know, the newer form.
fn path(make: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("make"), make).unwrap();
    std::fs::set_permissions(dir.path().join("make"), PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

/// The two forms: told by path, and told by descriptors.
fn both(test: impl Fn(&dyn Fn(usize) -> Jobserver)) {
    for make in [&b"..fififo:.."[..], b"4.3"] {
        let dir = path(make);
        test(&|jobs| Jobserver::serve(jobs, Some(dir.path().as_os_str())));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_make_on_the_path_decides_the_form() {
    let told = |make: &[u8]| {
        let path = path(make);
        let server = Jobserver::serve(3, Some(path.path().as_os_str()));
        server.makeflags(Some("k".as_ref())).into_string().unwrap()
    };
    let me = std::process::id();
    assert!(told(b"..fififo:..").starts_with(&format!("k -j3 --jobserver-auth=fifo:/proc/{me}/fd/")));
    assert!(told(b"4.3").starts_with("k -j3 --jobserver-fds="));
    let without = Jobserver::serve(2, Some("/nowhere".as_ref())).makeflags(None).into_string().unwrap();
    assert!(without.starts_with(" -j2 --jobserver-auth=fifo:"), "{without}");
}

#[test]
fn there_are_as_many_places_as_were_asked_for() {
    both(|serve| {
        for jobs in [1, 2, 5] {
            let server = serve(jobs);
            assert_eq!(server.jobs(), Some(jobs));
            let held: Vec<_> = (0..jobs).map(|_| server.acquire(true).unwrap()).collect();
            assert!(held.iter().all(|token| !matches!(token.place, Place::Beyond)));
            assert!(
                matches!(server.acquire(true).unwrap().place, Place::Beyond),
                "there is one more than {jobs}"
            );
            drop(held);
            let again: Vec<_> = (0..jobs).map(|_| server.acquire(false).unwrap()).collect();
            assert_eq!(again.len(), jobs);
        }
    });
}

#[test]
fn a_client_and_its_server_share_the_places() {
    both(|serve| {
        let server = serve(3);
        let client = Jobserver::join(&server.makeflags(None)).expect("it is reachable");
        assert_eq!(client.jobs(), Some(3));
        // The command that the client is has a place of the server's: its first is that one.
        let command = server.acquire(false).unwrap();
        let first = client.acquire(false).unwrap();
        let second = client.acquire(false).unwrap();
        let third = server.acquire(false).unwrap();
        assert!(matches!(client.acquire(true).unwrap().place, Place::Beyond));
        assert!(matches!(server.acquire(true).unwrap().place, Place::Beyond));
        drop((first, second));
        let fourth = server.acquire(true).unwrap();
        assert!(matches!(fourth.place, Place::Byte(_)), "the client has given its second place back");
        drop((command, third, fourth));
    });
}

#[test]
fn whoever_waits_gets_the_place_that_comes_free() {
    both(|serve| {
        let server = serve(2);
        let (running, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _token = server.acquire(false).unwrap();
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 400);
        assert!(most.into_inner() <= 2);
    });
}

#[test]
fn whoever_waits_is_let_go() {
    both(|serve| {
        let server = serve(2);
        let held = [server.acquire(false).unwrap(), server.acquire(false).unwrap()];
        std::thread::scope(|scope| {
            let (send, receive) = mpsc::channel();
            for _ in 0..3 {
                let (send, server) = (send.clone(), &server);
                scope.spawn(move || send.send(server.acquire(false).is_none()).unwrap());
            }
            while server.lock().waiting < 3 {
                std::thread::yield_now();
            }
            assert!(receive.try_recv().is_err());
            server.stop();
            assert!(receive.iter().take(3).all(|let_go| let_go));
        });
        assert!(server.acquire(false).is_none());
        assert!(matches!(server.acquire(true).unwrap().place, Place::Beyond));
        drop(held);
        assert!(matches!(server.acquire(true).unwrap().place, Place::Own | Place::Byte(_)));
    });
}

#[test]
fn what_cannot_be_reached_is_not_joined() {
    let join = |makeflags: &str| Jobserver::join(makeflags.as_ref());
    assert!(join("").is_none());
    assert!(join("ks").is_none());
    assert!(join(" -j2 --jobserver-auth=fifo:/nowhere/fifo").is_none());
    assert!(join(" -j2 --jobserver-auth=-2,-2").is_none());
    assert!(join(" -j2 --jobserver-auth=9998,9999").is_none());
    // make closes its pipe to commands without a `+`: the numbers may then be anything.
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(join(&format!(" -j2 --jobserver-auth=fifo:{}", file.path().display())).is_none());
    let fd = file.as_file().as_raw_fd();
    assert!(join(&format!(" -j2 --jobserver-auth={fd},{fd}")).is_none());
}

#[test]
fn nothing_is_made_before_the_first_command() {
    let server = Jobserver::serve(4, None);
    let Role::Server { pool, .. } = &server.role else { panic!("it is a server") };
    assert!(pool.get().is_none());
    drop(server.acquire(false));
    assert!(pool.get().is_some());
}
