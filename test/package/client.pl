# A client: client.pl PORT asks over one connection, again and again. The number of answers is in the file answers, a failure in broken.
use strict;
use IO::Socket::INET;
my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$ARGV[0]") or broken("connect: $!");
$c->autoflush(1);
for (my $n = 1 ; ; $n++) {
    print $c "question $n\n" or broken("question $n: $!");
    my $answer = <$c>;
    defined $answer && $answer =~ /^[abc] question $n$/ or broken("question $n was answered with " . ($answer // "an end ($!)"));
    put("answers", $n);
    select undef, undef, undef, 0.1;
}

sub put {
    my ($name, $text) = @_;
    open my $f, '>', "$name.new" or die $!;
    print $f "$text\n";
    close $f;
    rename "$name.new", $name;
}
sub broken { put("broken", $_[0]); exit 1 }
