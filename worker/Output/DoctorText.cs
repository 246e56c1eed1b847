using System.Runtime.CompilerServices;
using Distributed.Engine.Checkpoints;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;
using Distributed.Engine.Weights;

namespace Distributed.Worker.Output;

/// <summary>A doctor's report for people.</summary>
internal static class DoctorText
{
    public static void Write(TextWriter output, DoctorOptions options, DoctorReport report)
    {
        WriteModel(output, options, report);
        foreach (var file in report.Files)
        {
            output.WriteLine($"file: {file.Name}, {file.Check} {(file.IsRight ? "right" : "WRONG")}");
        }

        WriteMemory(output, options, report);
        var machine = report.Machine;
        Line(
            output,
            $"machine: {machine.KernelPath} kernels, {machine.ThreadCount} thread(s), reads {machine.ReadBytesPerSecond / 1e9:0.0} GB/s, "
            + $"{machine.MultiplyAddsPerSecond / 1e9:0} GFLOP/s (int8 {machine.Int8OperationsPerSecond / 1e9:0}, int4 {machine.Int4OperationsPerSecond / 1e9:0} Gop/s), {machine.MemoryByteCount / 1e9:0.0} GB of memory");
        Line(
            output,
            $"--matmul-precision medium: {machine.BFloat16Path}{(machine.BFloat16OperationsPerSecond is { } peak ? $", {peak / 1e9:0} GFLOP/s" : "")}");
        foreach (var finding in report.Findings)
        {
            output.WriteLine($"{finding.Level.ToString().ToLowerInvariant()}: {finding.Message}");
        }

        var errors = report.Findings.Count(finding => finding.Level == FindingLevel.Error);
        var warnings = report.Findings.Count(finding => finding.Level == FindingLevel.Warning);
        output.WriteLine(
            $"{(report.WouldLoad ? "It would load" : "It would NOT load")}: {Count(errors, "error")}, {Count(warnings, "warning")}.");
    }

    private static void WriteModel(TextWriter output, DoctorOptions options, DoctorReport report)
    {
        if (report.Model is { } model)
        {
            var config = model.Config;
            var layout = model.Layout == CheckpointLayout.Meta ? $"Meta's layout, {Count(model.ShardCount, "shard")}" : "Hugging Face's layout";
            output.WriteLine($"model: {options.Directory}, {model.Family}, {layout}, {Size(model.ByteCount)}, "
                + (model.Quantization is { } type ? $"quantised to {Lower(type)}, the embedding {Lower(model.Type)}" : Lower(model.Type)));
            Line(
                output,
                $"shape: {config.LayerCount} layers, {config.HeadCount} heads of {config.HeadDimension}, {config.KeyValueHeadCount} key-value heads, "
                + $"width {config.Dimension}, hidden {config.HiddenDimension}, {config.VocabularySize} token ids");
        }
        else
        {
            Line(output, $"model: {options.Directory}, cannot be opened");
        }

        if (report.Tokenizer is { } tokenizer)
        {
            var chat = tokenizer.ChatFormat is { } format ? $", chat format {format}" : "";
            Line(output, $"tokenizer: {tokenizer.Path}, {tokenizer.Kind}, {tokenizer.VocabularySize} tokens{chat}");
        }
    }

    private static void WriteMemory(TextWriter output, DoctorOptions options, DoctorReport report)
    {
        if (report.Memory.Count == 0)
        {
            return;
        }

        var weights = options.WeightFormat == WeightFormat.Stored ? "" : $", --dtype {Lower(options.WeightFormat)}";
        weights += options.MatmulPrecision == MatmulPrecision.Highest ? "" : $", --matmul-precision {Lower(options.MatmulPrecision)}";
        Line(
            output,
            $"memory of a rank and speed at most (--max-seq-len {options.MaxSequenceLength}, --max-batch-size {options.MaxBatchSize}{weights}; a cache of "
            + $"{options.CachePositionCount / 64} blocks of 64 positions in {NameOf(options.CacheFormat)}; decoding at position {options.MaxSequenceLength / 2}):");
        output.WriteLine("  ranks     weights       cache  decode here  decode, a machine a rank  prefill here");
        foreach (var (memory, speed) in report.Memory.Zip(report.Speed))
        {
            Line(
                output,
                $"  {memory.WorldSize,5}  {Size(memory.WeightByteCount),10}  {Size(memory.CacheByteCount),10}  "
                + $"{speed.DecodeHere,7:0.0} t/s  {speed.DecodeApart,20:0.0} t/s  {speed.PrefillHere,8:0} t/s");
        }
    }

    /// <summary>As --cache-dtype has it.</summary>
    public static string NameOf(CacheFormat format) => format switch
    {
        CacheFormat.Float32 => "f32",
        CacheFormat.BFloat16 => "bf16",
        _ => "int8",
    };

    private static string Lower<T>(T value)
        where T : struct, Enum
        => value.ToString().ToLowerInvariant();

    private static string Size(long byteCount) => byteCount < 1e9 ? $"{byteCount / 1e6:0.0} MB" : $"{byteCount / 1e9:0.00} GB";

    private static string Count(int count, string name) => $"{count} {name}{(count == 1 ? "" : "s")}";

    // The program runs without cultures (InvariantGlobalization): numbers are written alike everywhere.
    private static void Line(TextWriter output, DefaultInterpolatedStringHandler line) => output.WriteLine(line.ToStringAndClear());
}
