namespace Grpc.AspNetCore.Server;

/// <summary>The names of the mapped services: a call to one of them that reaches no method asks for a method that does not exist.</summary>
internal sealed class MappedServices
{
    public HashSet<string> Names { get; } = new(StringComparer.Ordinal);
}
