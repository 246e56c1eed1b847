namespace Distributed.Collectives;

/// <summary>
/// The ranks of a group as a grid with named dimensions, such as data x pipeline x tensor parallelism, and the subgroups along each:
/// torch's <c>init_device_mesh</c>. Ranks are laid out row by row; the last dimension is that of neighbouring ranks.
/// <code>
/// using var mesh = new ProcessMesh(group, ("dp", 2), ("tp", 4));
/// mesh["tp"].AllReduce(activations);   // over ranks 0-3, or 4-7
/// mesh["dp"].AllReduce(gradients);     // over ranks 0 and 4, 1 and 5, ...
/// </code>
/// </summary>
public sealed class ProcessMesh : IDisposable
{
    private readonly Dictionary<string, (int Coordinate, ProcessGroup Group)> _dimensions = new(StringComparer.Ordinal);

    /// <param name="group">All ranks; it stays the caller's.</param>
    /// <param name="dimensions">Name and size of each, whose product is the number of ranks.</param>
    /// <exception cref="ArgumentException">The sizes do not fit the group, or two dimensions share a name.</exception>
    public ProcessMesh(ProcessGroup group, params ReadOnlySpan<(string Name, int Size)> dimensions)
    {
        ArgumentNullException.ThrowIfNull(group);
        var size = 1L;
        foreach (var (name, length) in dimensions)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(length, 1, name);
            size *= length;
        }

        if (size != group.WorldSize)
        {
            throw new ArgumentException($"A mesh of {size} ranks does not fit a group of {group.WorldSize}; the sizes of its dimensions multiply to that.", nameof(dimensions));
        }

        var stride = group.WorldSize;
        foreach (var (name, length) in dimensions)
        {
            // The ranks that differ from this one in this dimension only.
            stride /= length;
            var coordinate = group.Rank / stride % length;
            var first = group.Rank - (coordinate * stride);
            var ranks = Enumerable.Range(0, length).Select(index => first + (index * stride)).ToArray();
            if (!_dimensions.TryAdd(name, (coordinate, group.Subgroup(ranks)!))) // this rank is among them
            {
                throw new ArgumentException($"Two dimensions of a mesh are called {name}.", nameof(dimensions));
            }
        }
    }

    /// <summary>The ranks that differ from this one in dimension <paramref name="name"/> only.</summary>
    /// <exception cref="KeyNotFoundException">There is no such dimension.</exception>
    public ProcessGroup this[string name] => _dimensions[name].Group;

    /// <summary>Where this rank is along dimension <paramref name="name"/>.</summary>
    /// <exception cref="KeyNotFoundException">There is no such dimension.</exception>
    public int Coordinate(string name) => _dimensions[name].Coordinate;

    /// <summary>Ends the subgroups; the whole group stays.</summary>
    public void Dispose()
    {
        foreach (var (_, group) in _dimensions.Values)
        {
            group.Dispose();
        }
    }
}
