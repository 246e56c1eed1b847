using Distributed.Collectives;
using Distributed.Collectives.Launching;

// Started by distrun, once a rank: distrun --nproc-per-node 4 hello-allreduce
var environment = RankEnvironment.FromProcess();
var link = LauncherLink.Attach(environment);
using var group = await PeerRendezvous.JoinAsync(environment, link.Envelope!, new PeerRendezvousOptions());

float[] values = [group.Rank, 1];
group.AllReduce(values);
Console.WriteLine($"rank {group.Rank} of {group.WorldSize}: the ranks sum to {values[0]}, and there are {values[1]} ({group.TransportDescription})");
