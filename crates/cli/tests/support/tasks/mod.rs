//! Services of tasks on two nodes, real processes: the nodes, what kills them, and a bank's customers meanwhile.

pub mod customers;
pub mod kills;
pub mod nodes;
