using System.Globalization;

namespace Distributed.Launcher.Placement;

/// <summary>
/// The ranks as a grid: <c>pp=2,tp=4</c> has 8 of them, the last dimension varies fastest, so ranks 0-3 are the tp group of pp 0. The same
/// order as the mesh of torch.distributed.device_mesh and of Megatron's groups.
/// </summary>
internal sealed class RankMesh
{
    /// <summary>Names the mesh itself, for the ranks and for the run that checks their input.</summary>
    public const string Variable = "DISTRUN_MESH";

    private const int MaxMapLineCount = 64;

    // Variables of the launcher's own contract that a dimension's would hide.
    private static readonly string[] ReservedNames = ["local", "role", "group", "world"];

    private readonly IReadOnlyList<(string Name, int Size)> _dimensions;

    private RankMesh(IReadOnlyList<(string Name, int Size)> dimensions) => _dimensions = dimensions;

    /// <summary>Ranks that fill it.</summary>
    public int Size => _dimensions.Aggregate(1, (product, dimension) => product * dimension.Size);

    /// <summary>The size of the dimension that varies fastest.</summary>
    public int InnermostSize => _dimensions[^1].Size;

    /// <summary>Reads <c>name=size</c>, with commas between.</summary>
    /// <returns>The mesh; or a clause that says why the text is none.</returns>
    public static (RankMesh? Mesh, string? Problem) Parse(string text)
    {
        var dimensions = new List<(string Name, int Size)>();
        var product = 1L;
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries))
        {
            var equals = part.IndexOf('=', StringComparison.Ordinal);
            var name = equals < 0 ? part : part[..equals];
            if (equals < 0 || !int.TryParse(part[(equals + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var size) || size < 1)
            {
                return (null, "is not of the form pp=2,tp=4");
            }

            if (name.Length == 0 || !char.IsAsciiLetterLower(name[0]) || !name.All(character => char.IsAsciiLetterLower(character) || char.IsAsciiDigit(character)))
            {
                return (null, $"has the name {name}, which is not of lower-case letters and digits");
            }

            if (ReservedNames.Contains(name) || dimensions.Any(dimension => dimension.Name == name))
            {
                return (null, $"has the name {name}, whose variable {name.ToUpperInvariant()}_RANK is taken");
            }

            product *= size;
            if (product > int.MaxValue)
            {
                return (null, "has more ranks than there can be");
            }

            dimensions.Add((name, size));
        }

        return (new RankMesh(dimensions), null);
    }

    /// <summary>What a rank finds: TP_RANK, TP_SIZE and so on, and the mesh itself in DISTRUN_MESH.</summary>
    public IEnumerable<KeyValuePair<string, string>> VariablesOf(int rank)
    {
        yield return new(Variable, ToString());
        foreach (var ((name, size), index) in _dimensions.Zip(CoordinatesOf(rank)))
        {
            yield return new($"{name.ToUpperInvariant()}_RANK", index.ToString(CultureInfo.InvariantCulture));
            yield return new($"{name.ToUpperInvariant()}_SIZE", size.ToString(CultureInfo.InvariantCulture));
        }
    }

    /// <summary>Where a rank is in each dimension.</summary>
    public int[] CoordinatesOf(int rank)
    {
        var coordinates = new int[_dimensions.Count];
        for (var dimension = _dimensions.Count - 1; dimension >= 0; dimension--)
        {
            coordinates[dimension] = rank % _dimensions[dimension].Size;
            rank /= _dimensions[dimension].Size;
        }

        return coordinates;
    }

    /// <summary>A line for each run of ranks of the innermost dimension.</summary>
    public IEnumerable<string> Map()
    {
        var (innermost, width) = _dimensions[^1];
        for (var first = 0; first < Size; first += width)
        {
            if (first / width == MaxMapLineCount)
            {
                yield return "…";
                yield break;
            }

            var outer = _dimensions.Zip(CoordinatesOf(first)).SkipLast(1).Select(pair => string.Create(CultureInfo.InvariantCulture, $"{pair.First.Name}={pair.Second}"));
            var ranks = width == 1 ? $"rank {first} is {innermost} 0" : $"ranks {first}-{first + width - 1} are {innermost} 0-{width - 1}";
            yield return string.Join(' ', outer.Append(ranks));
        }
    }

    public override string ToString()
        => string.Join(',', _dimensions.Select(dimension => string.Create(CultureInfo.InvariantCulture, $"{dimension.Name}={dimension.Size}")));
}
