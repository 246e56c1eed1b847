using System.Reflection;
using Xunit.Sdk;

namespace Distributed.Rpc.Tests.Hosting;

/// <summary>Runs a theory once on each transport.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class CombineTransportsAttribute : DataAttribute
{
    public override IEnumerable<object[]> GetData(MethodInfo testMethod) => Enum.GetValues<Transport>().Select(transport => new object[] { transport });
}
