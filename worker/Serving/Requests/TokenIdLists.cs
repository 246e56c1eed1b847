using System.Collections.Immutable;
using System.Text.Json;

namespace Distributed.Worker.Serving.Requests;

/// <summary>
/// The lists of token ids of a request, <c>prompt</c> and <c>tokens</c>, read as numbers of four bytes: in a document each would take twelve, and a body may be all ids.
/// </summary>
internal sealed class TokenIdLists
{
    // What a document costs is its values; a dialog of as many messages as there may be has fewer.
    private const int MaxValueCount = 1 << 17;

    private const string Prompt = "prompt"; // of which there may be several

    private static readonly string[] Names = [Prompt, "tokens"];

    private readonly Dictionary<string, (ImmutableArray<ImmutableArray<int>> Lists, Range Place)> _found = new(StringComparer.Ordinal);

    /// <summary>The lists of a field, one or several; <see langword="null"/> where it is no list of ids nor one of such lists.</summary>
    public ImmutableArray<ImmutableArray<int>>? this[string name] => _found.TryGetValue(name, out var found) ? found.Lists : null;

    /// <summary>Takes the lists out of a body.</summary>
    /// <param name="body">JSON; the rest of it, with empty lists in their places, after the call.</param>
    /// <param name="maxDepth">Of the whole.</param>
    /// <exception cref="JsonException">It is no JSON.</exception>
    /// <exception cref="ApiException">The rest has too many values.</exception>
    public static TokenIdLists Take(ref ReadOnlyMemory<byte> body, int maxDepth)
    {
        var lists = new TokenIdLists();
        var reader = new Utf8JsonReader(body.Span, new JsonReaderOptions { MaxDepth = maxDepth });
        string? name = null;
        for (var count = 0; reader.Read(); count++)
        {
            if (count == MaxValueCount)
            {
                throw ApiException.Request(System.Net.HttpStatusCode.BadRequest, $"The body has more than {MaxValueCount} names and values beside token ids; send less at once.");
            }

            if (reader.TokenType == JsonTokenType.StartArray && reader.CurrentDepth == 1 && name is not null)
            {
                lists.TryTake(ref reader, name);
            }

            name = reader.TokenType == JsonTokenType.PropertyName && reader.CurrentDepth == 1 ? NameAt(reader) : null;
        }

        foreach (var (_, place) in lists._found.Values.OrderByDescending(found => found.Place.Start.Value))
        {
            body = (byte[])[.. body.Span[..place.Start], .. "[]"u8, .. body.Span[place.End..]];
        }

        return lists;
    }

    private static string? NameAt(Utf8JsonReader reader)
    {
        foreach (var name in Names)
        {
            if (reader.ValueTextEquals(name))
            {
                return name;
            }
        }

        return null;
    }

    // Goes on behind the list where it is one of ids, and else stays where it is.
    private void TryTake(ref Utf8JsonReader reader, string name)
    {
        var ahead = reader;
        var start = (int)reader.TokenStartIndex;
        var lists = ImmutableArray.CreateBuilder<ImmutableArray<int>>();
        ahead.Read();
        if (ahead.TokenType == JsonTokenType.Number)
        {
            TryAdd(ref ahead, lists);
        }
        else if (name == Prompt)
        {
            while (ahead.TokenType == JsonTokenType.StartArray && lists.Count < NumericField.MaxChoiceCount)
            {
                ahead.Read();
                if (!TryAdd(ref ahead, lists))
                {
                    return;
                }

                ahead.Read();
            }
        }

        // A name that is there twice is for the document to refuse.
        if (ahead.TokenType == JsonTokenType.EndArray && lists.Count > 0 && _found.TryAdd(name, (lists.ToImmutable(), start..(int)ahead.BytesConsumed)))
        {
            reader = ahead;
        }
    }

    // From the first item to the end of a list.
    private static bool TryAdd(ref Utf8JsonReader reader, ImmutableArray<ImmutableArray<int>>.Builder lists)
    {
        var count = 0;
        for (var ahead = reader; ahead.TokenType == JsonTokenType.Number; ahead.Read())
        {
            count++;
        }

        var ids = ImmutableArray.CreateBuilder<int>(count); // room for no more than there are
        while (reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out var id) && id >= 0)
        {
            ids.Add(id);
            reader.Read();
        }

        lists.Add(ids.DrainToImmutable());
        return reader.TokenType == JsonTokenType.EndArray;
    }
}
