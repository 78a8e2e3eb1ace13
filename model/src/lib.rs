//! An etcd cluster inside the simulator.
