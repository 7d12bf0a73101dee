//! Diagnostics as text: graphical for a terminal, one line otherwise, JSON and GitHub annotations for machines.
