using System.Text.Json;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Weights;

namespace Distributed.Worker.Output;

/// <summary>A doctor's report as one JSON document; what is not known is null.</summary>
internal static class DoctorDocument
{
    /// <summary>Writes the document and a line feed.</summary>
    public static void Write(Stream stream, DoctorOptions options, DoctorReport report)
    {
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            json.WriteBoolean("would_load", report.WouldLoad);
            json.WritePlain("directory", options.Directory);
            WriteModel(json, report.Model);
            WriteTokenizer(json, report.Tokenizer);
            json.WriteStartArray("files");
            foreach (var file in report.Files)
            {
                json.WriteStartObject();
                json.WritePlain("name", file.Name);
                json.WriteString("check", file.Check);
                json.WriteBoolean("right", file.IsRight);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            WriteRanks(json, options, report);
            WriteMachine(json, report.Machine);
            json.WriteStartArray("findings");
            foreach (var finding in report.Findings)
            {
                json.WriteStartObject();
                json.WriteString("level", finding.Level.ToString().ToLowerInvariant());
                json.WritePlain("message", finding.Message);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        stream.WriteByte((byte)'\n');
        stream.Flush();
    }

    private static void WriteModel(Utf8JsonWriter json, ModelSummary? model)
    {
        if (model is null)
        {
            json.WriteNull("model");
            return;
        }

        json.WriteStartObject("model");
        json.WriteString("layout", model.Layout == CheckpointLayout.Meta ? "meta" : "huggingface");
        json.WriteString("family", model.Family.ToString().ToLowerInvariant());
        json.WriteString("type", model.Type.ToString().ToLowerInvariant());
        json.WriteString("quantization", model.Quantization?.ToString().ToLowerInvariant());
        json.WriteNumber("shards", model.ShardCount);
        json.WriteNumber("bytes", model.ByteCount);
        json.WriteNumber("layers", model.Config.LayerCount);
        json.WriteNumber("heads", model.Config.HeadCount);
        json.WriteNumber("key_value_heads", model.Config.KeyValueHeadCount);
        json.WriteNumber("head_dim", model.Config.HeadDimension);
        json.WriteNumber("dim", model.Config.Dimension);
        json.WriteNumber("hidden_dim", model.Config.HiddenDimension);
        json.WriteNumber("vocab_size", model.Config.VocabularySize);
        json.WriteEndObject();
    }

    private static void WriteTokenizer(Utf8JsonWriter json, TokenizerSummary? tokenizer)
    {
        if (tokenizer is null)
        {
            json.WriteNull("tokenizer");
            return;
        }

        json.WriteStartObject("tokenizer");
        json.WritePlain("path", tokenizer.Path);
        json.WriteString("kind", tokenizer.Kind);
        json.WriteNumber("vocab_size", tokenizer.VocabularySize);
        json.WriteString("chat_format", tokenizer.ChatFormat);
        json.WriteEndObject();
    }

    private static void WriteRanks(Utf8JsonWriter json, DoctorOptions options, DoctorReport report)
    {
        json.WriteNumber("max_seq_len", options.MaxSequenceLength);
        json.WriteNumber("max_batch_size", options.MaxBatchSize);
        json.WriteString("dtype", options.WeightFormat == WeightFormat.Stored ? "auto" : options.WeightFormat.ToString().ToLowerInvariant());
        json.WriteString("matmul_precision", options.MatmulPrecision.ToString().ToLowerInvariant());
        json.WriteString("cache_dtype", DoctorText.NameOf(options.CacheFormat));
        json.WriteNumber("cache_tokens", options.CachePositionCount);
        json.WriteStartArray("world_sizes");
        foreach (var (memory, speed) in report.Memory.Zip(report.Speed))
        {
            json.WriteStartObject();
            json.WriteNumber("world_size", memory.WorldSize);
            json.WriteNumber("rank_weight_bytes", memory.WeightByteCount);
            json.WriteNumber("rank_cache_bytes", memory.CacheByteCount);
            json.WriteNumber("decode_limit_here_tokens_per_second", speed.DecodeHere);
            json.WriteNumber("decode_limit_apart_tokens_per_second", speed.DecodeApart);
            json.WriteNumber("prefill_limit_here_tokens_per_second", speed.PrefillHere);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteMachine(Utf8JsonWriter json, MachineProfile machine)
    {
        json.WriteStartObject("machine");
        json.WriteString("kernels", machine.KernelPath);
        json.WriteNumber("threads", machine.ThreadCount);
        json.WriteNumber("read_bytes_per_second", machine.ReadBytesPerSecond);
        json.WriteNumber("flops_per_second", machine.MultiplyAddsPerSecond);
        json.WriteNumber("int8_operations_per_second", machine.Int8OperationsPerSecond);
        json.WriteNumber("int4_operations_per_second", machine.Int4OperationsPerSecond);
        json.WritePlain("bf16_kernels", machine.BFloat16Path);
        if (machine.BFloat16OperationsPerSecond is { } peak)
        {
            json.WriteNumber("bf16_flops_per_second", peak);
        }
        else
        {
            json.WriteNull("bf16_flops_per_second");
        }

        json.WriteNumber("memory_bytes", machine.MemoryByteCount);
        json.WriteEndObject();
    }
}
