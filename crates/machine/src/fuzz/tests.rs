//! The targets with bytes from a seed.

use proptest::collection::vec;
use proptest::prelude::*;

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_guest_wedges_the_machine_and_its_inputs_say_what_becomes_of_it(bytes in bytes(3000)) {
        super::guest(&bytes);
    }

    #[test]
    fn no_driver_hurts_the_devices(bytes in bytes(2000)) {
        super::virtqueue(&bytes);
    }

    #[test]
    fn no_log_hurts_a_machine(bytes in bytes(400)) {
        super::events(&bytes);
    }

    #[test]
    fn no_kernel_gets_out_of_memory(bytes in bytes(300)) {
        super::image(&bytes);
    }

    #[test]
    fn no_snapshot_hurts_who_loads_it(bytes in bytes(24)) {
        let dir = tempfile::tempdir().unwrap();
        super::snapshot(&bytes, dir.path());
    }
}

#[test]
fn the_good_snapshot_is_loaded_and_tried_out() {
    let dir = tempfile::tempdir().unwrap();
    super::snapshot(&[], dir.path());
    let good = super::snapshot::good();
    assert!(crate::Computer::load(&mut &good[..], dir.path()).is_ok());
    for length in (0..good.len()).step_by(997) {
        assert!(crate::Computer::load(&mut &good[..length], dir.path()).is_err());
    }
}
