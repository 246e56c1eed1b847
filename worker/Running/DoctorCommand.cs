using System.Globalization;
using System.Text;
using Distributed.Engine.Diagnosis;
using Distributed.Engine.Kernels;
using Distributed.Engine.Parallel;
using Distributed.Engine.Weights;
using Distributed.Worker.Options;
using Distributed.Worker.Output;

namespace Distributed.Worker.Running;

/// <summary>Looks at a checkpoint as loading would, before minutes of loading; one process does it.</summary>
internal sealed class DoctorCommand
{
    private const int MaxWorldSize = 1024;

    private readonly DoctorOptions _options;
    private readonly OutputFormat _format;

    private DoctorCommand(DoctorOptions options, OutputFormat format) => (_options, _format) = (options, format);

    /// <summary>Reads the command line.</summary>
    /// <exception cref="BadInputException">It cannot be used.</exception>
    public static DoctorCommand Create(CommandLine line)
    {
        var reader = new OptionReader(line.Values, line.Problems);
        var directory = reader.Required(OptionCatalog.Model, "name the folder of the checkpoint: worker doctor DIR");
        var isDeep = reader.Flag(OptionCatalog.Deep);
        var torch = BackendOptions.Read(reader, line.Values, line.Problems);
        if (torch is not null && !isDeep)
        {
            line.Problems.Add($"--{OptionCatalog.Backend} torch is for --{OptionCatalog.Deep}, which compares it with the managed backend; add that, or leave it out.");
        }

        var given = reader.Integer(OptionCatalog.WorldSize, 0, isDeep && torch is null ? 2 : 1, MaxWorldSize);
        var mesh = Mesh(reader.Text(OptionCatalog.Mesh), given, line.Problems);
        var maxSequenceLength = reader.Integer(OptionCatalog.MaxSequenceLength, 2048, 1, 1 << 20);
        var options = new DoctorOptions
        {
            Directory = directory ?? "",
            TokenizerPath = reader.Text(OptionCatalog.TokenizerPath) ?? (directory is null ? null : ModelFolder.FindTokenizer(directory, [])),
            MaxSequenceLength = maxSequenceLength,
            MaxBatchSize = reader.Integer(OptionCatalog.MaxBatchSize, 1, 1, 4096),
            WeightFormat = torch is null ? reader.DataType(OptionCatalog.DataType) : WeightFormat.Stored,
            MatmulPrecision = torch is null ? reader.MatmulPrecision(OptionCatalog.MatmulPrecision) : MatmulPrecision.Highest,
            CacheFormat = reader.CacheDataType(OptionCatalog.CacheDataType),
            CacheTokenCount = RunOptions.ReadCacheTokenCount(reader, maxSequenceLength, line.Problems),
            WorldSizes = mesh is not null ? [mesh.WorldSize] : given == 0 ? [1, 2, 4, 8] : [given],
            Mesh = mesh,
            DeepWorldSize = isDeep ? Math.Max(torch is null ? 2 : 1, given) : null,
            DeepTorch = torch,
            SkipsChecksums = reader.Flag(OptionCatalog.SkipChecksums),
            ThreadCount = reader.IntegerOrNone(OptionCatalog.Threads, null, 1, 1024) ?? DefaultThreadCount(),
        };
        var format = reader.Choice(OptionCatalog.Format, OutputFormat.Text);
        return line.Problems.Count == 0 ? new DoctorCommand(options, format) : throw new BadInputException(line.Problems);
    }

    /// <summary>Looks, tells stderr how far the files are read, and prints what was found.</summary>
    /// <returns>Whether the checkpoint would load.</returns>
    public bool Run()
    {
        var report = new CheckpointDoctor(_options).Examine(new Progress());
        using var output = Console.OpenStandardOutput();
        if (_format == OutputFormat.Json)
        {
            DoctorDocument.Write(output, _options, report);
        }
        else
        {
            using var writer = new StreamWriter(output, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
            DoctorText.Write(writer, _options, report);
        }

        return report.WouldLoad;
    }

    private static ModelMesh? Mesh(string? text, int worldSize, List<string> problems)
    {
        if (text is null)
        {
            return null;
        }

        var (mesh, problem) = ModelMesh.Parse(text, worldSize == 0 ? null : worldSize);
        problem = mesh?.WorldSize > MaxWorldSize ? $"has {mesh.WorldSize} ranks; {MaxWorldSize} are the most that are told of" : problem;
        if (problem is not null)
        {
            problems.Add($"--{OptionCatalog.Mesh} {OptionReader.Shown(text)} {problem}.");
        }

        return mesh;
    }

    private static int DefaultThreadCount()
        => int.TryParse(Environment.GetEnvironmentVariable("OMP_NUM_THREADS"), NumberStyles.None, CultureInfo.InvariantCulture, out var count) && count > 0
            ? count
            : Environment.ProcessorCount;

    /// <summary>A line for each file that was read, and between them a bar.</summary>
    private sealed class Progress : IProgress<ExaminationProgress>
    {
        private readonly Lock _lock = new();
        private readonly ProgressBar _bar = new();

        public void Report(ExaminationProgress value)
        {
            lock (_lock)
            {
                if (value.FinishedFile is { } file)
                {
                    _bar.Line($"{file.Name}: {file.Check} {(file.IsRight ? "is right" : "is WRONG")}");
                }
                else
                {
                    _bar.Report(value.DoneByteCount, value.TotalByteCount);
                }
            }
        }
    }
}
