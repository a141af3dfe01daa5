# SPDX-License-Identifier: Apache-2.0
# Carries out steps with Net::SFTP::Foreign; see clients_foreign.py.
use strict;
use warnings;
use JSON::PP;
use Net::SFTP::Foreign;

local $/;
my $request = decode_json(<STDIN>);
my $sftp = Net::SFTP::Foreign->new(
    host => $request->{host},
    port => $request->{port},
    user => $request->{username},
    more => $request->{openssh},
    autodie => 1,
    fs_encoding => 'utf8',
);

my %deeds = (
    Put => sub { $sftp->put($_[0]{local}, $_[0]{remote}) },
    Get => sub { $sftp->get($_[0]{remote}, $_[0]{local}) },
    Resume => sub { $sftp->put($_[0]{local}, $_[0]{remote}, resume => 1) },
    PutTree => sub { $sftp->rput($_[0]{local}, $_[0]{remote}) },
    GetTree => sub { $sftp->rget($_[0]{remote}, $_[0]{local}) },
    Rename => sub { $sftp->rename($_[0]{old}, $_[0]{new}) },
    List => sub { $sftp->ls($_[0]{path}, names_only => 1) },
    MakeDirectory => sub { $sftp->mkdir($_[0]{path}) },
    RemoveDirectory => sub { $sftp->rmdir($_[0]{path}) },
    Remove => sub { $sftp->remove($_[0]{path}) },
);

my @listings;
for my $step (@{ $request->{steps} }) {
    my $result = $deeds{ $step->{do} }->($step);
    push @listings, $result if $step->{do} eq 'List';
}
$sftp->disconnect;
print encode_json(\@listings);
