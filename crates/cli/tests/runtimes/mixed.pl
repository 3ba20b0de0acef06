# Children with pipes, threads with a shared variable, a shell, files, signals, sockets.
use strict;
use warnings;
use threads;
use threads::shared;
use POSIX ':sys_wait_h';
use Socket;
$| = 1;

my @children;
for my $n (1 .. 4) {
    pipe(my $read, my $write) or die;
    my $pid = fork // die;
    if (!$pid) {
        close $read;
        for my $i (1 .. 10) { print $write "$n:$i\n"; select(undef, undef, undef, 0.003) }
        close $write;
        exit $n;
    }
    close $write;
    push @children, [$pid, $read];
}
for my $child (@children) {
    my ($pid, $read) = @$child;
    my $sum = 0;
    while (<$read>) { /:(\d+)/; $sum += $1 }
    waitpid $pid, 0;
    print "child: $sum, status ", $? >> 8, "\n";
}

my $total : shared = 0;
my @threads = map { my $n = $_; threads->create(sub { for (1 .. 20) { lock $total; $total += $n } $n * 2 }) } 1 .. 3;
print join(',', map { $_->join } @threads), " $total\n";

for my $turn (1 .. 8) {
    my $out = `echo turn $turn | tr a-z A-Z; exit $turn`;
    chomp $out;
    print "$out ", $? >> 8, "\n";
}

open my $file, '>', 'lines' or die;
print $file "line $_\n" for 1 .. 200;
close $file;
open $file, '<', 'lines' or die;
my @lines = sort { $b cmp $a } <$file>;
close $file;
print scalar(@lines), " $lines[0]";

local $SIG{ALRM} = sub { print "alarm\n" };
require Time::HiRes;
Time::HiRes::ualarm(20_000);
select(undef, undef, undef, 5);
my $reaped = 0;
$SIG{CHLD} = sub { $reaped++ while waitpid(-1, WNOHANG) > 0 };
for my $n (1 .. 3) {
    my $pid = fork // die;
    exit 0 if !$pid;
}
select(undef, undef, undef, 0.002) while $reaped < 3;
$SIG{CHLD} = 'DEFAULT';
print "$reaped reaped by a handler\n";
open my $pipe, '-|', 'perl', '-e', 'print "x" x 100000; exit 2' or die;
my $piped = do { local $/; <$pipe> };
close $pipe;
print length($piped), ' ', $? >> 8, "\n";
socketpair(my $one, my $other, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die;
syswrite $one, 'ping';
sysread $other, my $got, 10;
print "$got\n";
my %squares = map { $_ => $_ ** 2 } 1 .. 50;
print join(' ', map {"$_=$squares{$_}"} sort { $a <=> $b } keys %squares), "\n";
exit 9;
