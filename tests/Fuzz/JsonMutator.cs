using System.Text;
using System.Text.Json.Nodes;

namespace Distributed.Fuzz;

/// <summary>Changes JSON where its structure is: values of another kind or size, keys gone, renamed, new or there twice, nesting.</summary>
internal static class JsonMutator
{
    private const int MaxNodes = 400; // of a large file, a sample

    /// <summary>The text of the tree after some changes; seldom damaged as text, too.</summary>
    public static byte[] Mutate(Random random, JsonNode root)
    {
        var text = "";
        for (var count = random.Next(1, 4); count > 0; count--)
        {
            root = Change(random, root);
        }

        text = root.ToJsonString();
        if (random.Next(8) == 0 && root is JsonObject { Count: > 0 } whole)
        {
            var (key, value) = whole.ElementAt(random.Next(whole.Count)); // there twice
            text = $"{{{JsonValue.Create(key).ToJsonString()}:{value?.ToJsonString() ?? "null"},{text[1..]}";
        }

        var bytes = Encoding.UTF8.GetBytes(text);
        return random.Next(6) == 0 ? Values.Damage(random, bytes) : bytes;
    }

    /// <summary>A value of any kind.</summary>
    public static JsonNode? Value(Random random) => random.Next(10) switch
    {
        0 => null,
        1 => JsonValue.Create(random.Next(2) == 0),
        2 => JsonValue.Create(random.NextDouble() * Math.Pow(10, random.Next(-40, 300))),
        3 => new JsonArray([.. Enumerable.Range(0, random.Next(0, 12)).Select(_ => (JsonNode?)JsonValue.Create(Values.Number(random)))]),
        4 => new JsonObject { [Safe(Values.Text(random))] = JsonValue.Create(Values.Number(random)) },
        5 => Nested(random.Next(1, 60)),
        6 or 7 => JsonValue.Create(Safe(Values.Text(random))),
        _ => JsonValue.Create(Values.Number(random)),
    };

    private static JsonNode Change(Random random, JsonNode root)
    {
        var parents = new List<JsonNode>();
        Collect(root, parents);
        if (parents.Count == 0)
        {
            return Value(random) ?? new JsonObject();
        }

        var parent = parents[random.Next(parents.Count)];
        if (parent is JsonArray array)
        {
            ChangeArray(random, array);
        }
        else if (parent is JsonObject item && item.Count > 0)
        {
            ChangeObject(random, item);
        }

        return root;
    }

    private static void ChangeArray(Random random, JsonArray array)
    {
        if (array.Count == 0 || random.Next(4) == 0)
        {
            array.Insert(random.Next(array.Count + 1), Value(random));
        }
        else if (random.Next(3) == 0)
        {
            array.RemoveAt(random.Next(array.Count));
        }
        else
        {
            array[random.Next(array.Count)] = Value(random);
        }
    }

    private static void ChangeObject(Random random, JsonObject item)
    {
        var (key, value) = item.ElementAt(random.Next(item.Count));
        switch (random.Next(6))
        {
            case 0: item.Remove(key); break;
            case 1: item[Safe(Values.Text(random))] = Value(random); break;
            case 2:
                item.Remove(key);
                item[Safe(Values.Text(random))] = value;
                break;
            case 3: item[key] = item.ElementAt(random.Next(item.Count)).Value?.DeepClone(); break; // of another key
            default: item[key] = Value(random); break;
        }
    }

    private static void Collect(JsonNode? node, List<JsonNode> parents)
    {
        if (parents.Count >= MaxNodes || node is not (JsonArray or JsonObject))
        {
            return;
        }

        parents.Add(node);
        foreach (var child in node is JsonArray array ? array : node.AsObject().Select(property => property.Value))
        {
            Collect(child, parents);
        }
    }

    private static JsonNode Nested(int depth)
    {
        JsonNode node = new JsonArray();
        for (; depth > 0; depth--)
        {
            node = depth % 2 == 0 ? new JsonArray(node) : new JsonObject { ["a"] = node };
        }

        return node;
    }

    // Half a surrogate pair cannot be written; as U+FFFD it can.
    private static string Safe(string text) => Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text));
}
