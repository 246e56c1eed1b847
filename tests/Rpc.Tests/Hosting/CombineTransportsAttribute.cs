using System.Reflection;
using Xunit.Sdk;
using Xunit.v3;

namespace Distributed.Rpc.Tests.Hosting;

/// <summary>Runs a theory once on each transport.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class CombineTransportsAttribute : DataAttribute
{
    public override ValueTask<IReadOnlyCollection<ITheoryDataRow>> GetData(MethodInfo testMethod, DisposalTracker disposalTracker)
        => new([.. Enum.GetValues<Transport>().Select(transport => new TheoryDataRow<Transport>(transport))]);

    public override bool SupportsDiscoveryEnumeration() => true;
}
