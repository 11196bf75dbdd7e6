# A server: echo.pl PORT NAME answers each line with its name and the line.
use strict;
use IO::Socket::INET;
my ($port, $name) = @ARGV;
my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 16, ReuseAddr => 1) or die "$port: $!";
$SIG{CHLD} = 'IGNORE';
my $parent = $$;
while (my $c = $l->accept) {
    next if fork;
    close $l;
    $c->autoflush(1);
    $SIG{ALRM} = sub { exit if getppid != $parent; alarm 1 };    # killed with its parent, more or less
    alarm 1;
    while (defined(my $line = <$c>)) { exit if getppid != $parent; print $c "$name $line" }
    exit;
}
