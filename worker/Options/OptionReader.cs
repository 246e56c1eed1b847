using System.Collections.Immutable;
using System.Globalization;
using Distributed.Collectives;
using Distributed.Engine.Kernels;
using Distributed.Engine.Model;
using Distributed.Engine.Weights;

namespace Distributed.Worker.Options;

/// <summary>Turns what was given into values, and collects a sentence for each that is none: a user sees all mistakes at once.</summary>
internal sealed class OptionReader(OptionValues values, List<string> problems)
{
    /// <summary>The transport from GPU to GPU.</summary>
    public const string Nccl = "nccl";

    /// <summary>A text of the user's, short enough for a sentence.</summary>
    public static string Shown(string text) => text.Length <= 60 ? text : $"{text[..57]}...";

    public string? Text(string name) => values[name]?.Last;

    public string? Required(string name, string next)
    {
        if (values[name] is { Last.Length: > 0 } given)
        {
            return given.Last;
        }

        problems.Add($"--{name} is missing; {next}.");
        return null;
    }

    public bool Flag(string name)
    {
        if (values[name] is not { } given)
        {
            return false;
        }

        return bool.TryParse(given.Last, out var flag) ? flag : Refuse(given, "is neither true nor false", false);
    }

    /// <summary>How ranks of a host meet. <c>nccl</c> is about GPUs: all else goes as with <c>auto</c>.</summary>
    public TransportChoice? Transport(string name) => values[name] switch
    {
        null => null,
        { Last: Nccl } => TransportChoice.Automatic,
        { } given => TransportNames.Parse(given.Last) ?? Refuse<TransportChoice?>(given, "is none of auto, shm, grpc, nccl", null),
    };

    public WireFormat? Wire(string name)
        => values[name] is { } given ? WireNames.Parse(given.Last) ?? Refuse<WireFormat?>(given, "is none of exact, bf16, int8", null) : null;

    public WeightFormat DataType(string name) => values[name] switch
    {
        null or { Last: "auto" } => WeightFormat.Stored,
        { Last: "int8" } => WeightFormat.Int8,
        { Last: "int4" } => WeightFormat.Int4,
        { Last: "bf16" or "fp16" or "fp32" } given => Refuse(
            given, "belongs to --backend torch; the managed backend has auto, int8, int4", WeightFormat.Stored),
        { } given => Refuse(given, "is none of auto, int8, int4", WeightFormat.Stored),
    };

    public TorchDataType TorchDataType(string name) => values[name] switch
    {
        null or { Last: "auto" } => Engine.Model.TorchDataType.Stored,
        { Last: "bf16" } => Engine.Model.TorchDataType.BFloat16,
        { Last: "fp16" } => Engine.Model.TorchDataType.Float16,
        { Last: "fp32" } => Engine.Model.TorchDataType.Float32,
        { Last: "int8" or "int4" } given => Refuse(
            given, "belongs to --backend managed; the torch backend has auto, bf16, fp16, fp32", Engine.Model.TorchDataType.Stored),
        { } given => Refuse(given, "is none of auto, bf16, fp16, fp32", Engine.Model.TorchDataType.Stored),
    };

    public MatmulPrecision MatmulPrecision(string name) => values[name] switch
    {
        null or { Last: "highest" } => Engine.Kernels.MatmulPrecision.Highest,
        { Last: "medium" } => Engine.Kernels.MatmulPrecision.Medium,
        { Last: "high" } given => Refuse(
            given, "belongs to --backend torch; the managed backend has highest, medium", Engine.Kernels.MatmulPrecision.Highest),
        { } given => Refuse(given, "is none of highest, medium", Engine.Kernels.MatmulPrecision.Highest),
    };

    public TorchPrecision TorchPrecision(string name) => values[name] switch
    {
        null or { Last: "high" } => Engine.Model.TorchPrecision.High,
        { Last: "medium" } => Engine.Model.TorchPrecision.Medium,
        { Last: "highest" } given => Refuse(given, "belongs to --backend managed; the torch backend has high, medium", Engine.Model.TorchPrecision.High),
        { } given => Refuse(given, "is none of high, medium", Engine.Model.TorchPrecision.High),
    };

    public CacheFormat CacheDataType(string name) => values[name] switch
    {
        null or { Last: "f32" } => CacheFormat.Float32,
        { Last: "bf16" } => CacheFormat.BFloat16,
        { Last: "int8" } => CacheFormat.Int8,
        { } given => Refuse(given, "is none of f32, bf16, int8", CacheFormat.Float32),
    };

    public int Integer(string name, int absent, int minimum, int maximum)
        => values[name] is { } given ? Integer(given, minimum, maximum, absent) : absent;

    /// <summary>Like <see cref="Integer(string, int, int, int)"/>; <c>None</c>, as Python spells it, is <see langword="null"/>.</summary>
    public int? IntegerOrNone(string name, int? absent, int minimum, int maximum) => values[name] switch
    {
        null => absent,
        { Last: "None" or "none" } => null,
        { } given => Integer(given, minimum, maximum, minimum),
    };

    public long Seed(string name, long absent)
    {
        if (values[name] is not { } given)
        {
            return absent;
        }

        return long.TryParse(given.Last, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
            ? number
            : Refuse(given, "is not a whole number of at most 64 bits", absent);
    }

    /// <summary>A number; its range is the business of whoever uses it.</summary>
    public float Number(string name, float absent)
    {
        if (values[name] is not { } given)
        {
            return absent;
        }

        return float.TryParse(given.Last, NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
            ? number
            : Refuse(given, "is not a number", absent);
    }

    /// <summary>One of the names of an enumeration.</summary>
    /// <param name="name">The option.</param>
    /// <param name="absent">Where it was not given.</param>
    /// <param name="allowed">The values that may be named; all where there are none.</param>
    public T Choice<T>(string name, T absent, params ReadOnlySpan<T> allowed)
        where T : struct, Enum
    {
        ReadOnlySpan<T> known = allowed.IsEmpty ? Enum.GetValues<T>() : allowed;
        if (values[name] is not { } given)
        {
            return absent;
        }

        foreach (var choice in known)
        {
            if (string.Equals(choice.ToString(), given.Last, StringComparison.OrdinalIgnoreCase))
            {
                return choice;
            }
        }

        var choices = known.ToArray().Select(choice => choice.ToString().ToLowerInvariant());
        return Refuse(given, $"is not {string.Join(" or ", choices)}", absent);
    }

    /// <summary>Like <see cref="Choice"/>; <see langword="null"/> where nothing was given.</summary>
    public T? OptionalChoice<T>(string name)
        where T : struct, Enum
        => values.Has(name) ? Choice(name, default(T)) : null;

    /// <summary>Whole numbers with commas between; default where nothing was given.</summary>
    /// <param name="name">The option.</param>
    /// <param name="what">What it lists, for the sentence.</param>
    public ImmutableArray<int> Integers(string name, string what)
    {
        if (values[name] is not { } given)
        {
            return default;
        }

        var numbers = ImmutableArray.CreateBuilder<int>();
        foreach (var part in given.Last.Trim('[', ']').Split(',', StringSplitOptions.TrimEntries))
        {
            if (!int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            {
                return Refuse<ImmutableArray<int>>(given, $"does not list {what}", default);
            }

            numbers.Add(number);
        }

        return numbers.ToImmutable();
    }

    /// <summary>A list of token ids, <c>1,2,3</c> or <c>[1, 2, 3]</c>; default where nothing was given.</summary>
    public ImmutableArray<int> TokenIds(string name)
        => values[name] is { } given ? ParseTokenIds(given, string.Join(',', given.Values)) : default;

    /// <summary>One list of token ids for each time the option was given.</summary>
    public IEnumerable<ImmutableArray<int>> TokenIdLists(string name)
        => values[name] is { } given ? given.Values.Select(text => ParseTokenIds(given, text)) : [];

    private ImmutableArray<int> ParseTokenIds(OptionValues.Given given, string text)
    {
        const StringSplitOptions Lenient = StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries;
        var ids = ImmutableArray.CreateBuilder<int>();
        foreach (var part in text.Trim().Trim('[', ']', '(', ')').Split(',', Lenient))
        {
            if (!int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var id))
            {
                problems.Add($"{given.Source} {Shown(text)}: '{Shown(part)}' is not a token id; write whole numbers such as 1,15043.");
                return [];
            }

            ids.Add(id);
        }

        return ids.ToImmutable();
    }

    private int Integer(OptionValues.Given given, int minimum, int maximum, int otherwise)
        => int.TryParse(given.Last, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
            && number >= minimum && number <= maximum
            ? number
            : Refuse(given, $"is not a whole number from {minimum} to {maximum}", otherwise);

    private T Refuse<T>(OptionValues.Given given, string rule, T otherwise)
    {
        problems.Add($"{given.Source} {Shown(given.Last)} {rule}.");
        return otherwise;
    }
}
