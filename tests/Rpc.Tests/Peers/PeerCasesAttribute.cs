using System.Reflection;
using Xunit.Sdk;

namespace Distributed.Rpc.Tests.Peers;

/// <summary>The cases of the interoperability tests with one peer; skipped with the reason where it is not installed.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
internal sealed class PeerCasesAttribute : DataAttribute
{
    private readonly Peer _peer;

    public PeerCasesAttribute(string peer)
    {
        _peer = Peer.Named(peer);
        Skip = _peer.Missing;
    }

    /// <summary>Whether the peer's own client runs the cases; it may lack some.</summary>
    public bool ItsClient { get; init; }

    public override IEnumerable<object[]> GetData(MethodInfo testMethod)
        => (ItsClient ? _peer.ClientCases : InteropCases.Names).Select(name => new object[] { _peer.Name, name });
}
