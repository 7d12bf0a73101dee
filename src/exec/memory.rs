//! What the allocator keeps for later, given back to the system.

/// Gives back what was freed and kept for later: threads that come and go in bursts leave glibc with pages that nobody
/// asks for again. Other allocators do so by themselves.
pub fn give_back_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a function of the C library")]
    // SAFETY: takes no pointer, changes nothing that is in use, and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
