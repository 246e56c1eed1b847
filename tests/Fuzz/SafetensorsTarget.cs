using System.Text;
using System.Text.Json.Nodes;
using Distributed.Engine.Checkpoints;

namespace Distributed.Fuzz;

/// <summary>model.safetensors: headers whose names, types, shapes and offsets lie.</summary>
internal sealed class SafetensorsTarget : TensorFileTarget
{
    public override string Name => "safetensors";

    public override string FileName => "model.safetensors";

    public override byte[] Make(Random random)
    {
        var header = new JsonObject { ["__metadata__"] = new JsonObject { ["format"] = "pt" } };
        var end = 0;
        foreach (var name in Enumerable.Range(0, random.Next(1, 5)).Select(number => $"w{number}"))
        {
            var (rows, columns) = (random.Next(1, 5), random.Next(1, 5));
            var begin = end;
            end += rows * columns * 2;
            header[name] = new JsonObject
            {
                ["dtype"] = random.Next(2) == 0 ? "BF16" : "F16",
                ["shape"] = new JsonArray(rows, columns),
                ["data_offsets"] = new JsonArray(begin, end),
            };
        }

        var text = random.Next(8) == 0 ? Encoding.UTF8.GetBytes(header.ToJsonString()) : JsonMutator.Mutate(random, header);
        var length = random.Next(10) == 0 ? Values.Number(random) : text.Length;
        byte[] bytes = [.. BitConverter.GetBytes(length), .. text, .. new byte[Math.Max(0, end + (random.Next(10) == 0 ? random.Next(-4, 5) : 0))]];
        return random.Next(8) == 0 ? Values.Damage(random, bytes) : bytes;
    }

    public override void Read(byte[] input, string path)
    {
        using var file = Open(input, path);
        var tensors = SafetensorsIndex.Read(file).Tensors.Values.OrderBy(tensor => tensor.Offset).ThenBy(tensor => tensor.ByteCount).ToArray();
        Check(file, tensors);
        for (var i = 1; i < tensors.Length; i++)
        {
            Require(tensors[i].Offset == tensors[i - 1].Offset + tensors[i - 1].ByteCount, "tensors follow each other without hole or overlap");
        }

        Require(tensors.Length == 0 || tensors[^1].Offset + tensors[^1].ByteCount == file.ByteCount, "the last tensor ends the file");
    }
}
