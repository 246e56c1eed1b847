using System.Reflection;
using Xunit.Sdk;
using Xunit.v3;

namespace Distributed.Rpc.Tests.Peers;

/// <summary>The cases of the interoperability tests with one peer; skipped with the reason where it is not installed.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
internal sealed class PeerCasesAttribute(string peer) : DataAttribute
{
    private readonly Peer _peer = Peer.Named(peer);

    /// <summary>Whether the peer's own client runs the cases; it may lack some.</summary>
    public bool ItsClient { get; init; }

    public override ValueTask<IReadOnlyCollection<ITheoryDataRow>> GetData(MethodInfo testMethod, DisposalTracker disposalTracker)
    {
        var names = ItsClient ? _peer.ClientCases : InteropCases.Names;
        return new([.. names.Select(name => new TheoryDataRow<string, string>(_peer.Name, name) { Skip = _peer.Missing })]);
    }

    public override bool SupportsDiscoveryEnumeration() => true;
}
