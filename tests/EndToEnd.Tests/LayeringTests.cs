using System.Xml.Linq;

namespace Distributed.EndToEnd.Tests;

/// <summary>The direction of dependencies that docs/architecture.md draws, read from the project files.</summary>
public sealed class LayeringTests
{
    [Theory]
    [InlineData("rpc")]
    [InlineData("protos")]
    [InlineData("collectives", "protos")]
    [InlineData("engine", "collectives")]
    [InlineData("worker", "engine")]
    [InlineData("launcher", "collectives")]
    public void Project_References_OnlyTheLayerBelow(string project, params string[] allowed)
    {
        var references = XDocument.Load(Path.Combine(Repository.Root, project, $"{project}.csproj"))
            .Descendants("ProjectReference")
            .Where(reference => (string?)reference.Attribute("ReferenceOutputAssembly") != "false")
            .Select(reference => Path.GetFileNameWithoutExtension(((string?)reference.Attribute("Include"))!))
            .ToArray();

        Assert.Equal(allowed, references);
    }

    [Fact]
    public void Engine_Source_NamesNeitherGrpcNorAspNet()
    {
        var offenders = Directory.EnumerateFiles(Path.Combine(Repository.Root, "engine"), "*.cs", SearchOption.AllDirectories)
            .Where(file => !file.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
            .Where(file => File.ReadLines(file).Any(line =>
                line.Contains("using Grpc", StringComparison.Ordinal) || line.Contains("Microsoft.AspNetCore", StringComparison.Ordinal)))
            .ToArray();

        Assert.Empty(offenders);
    }

    /// <summary>Inside engine/: Kernels &lt;- Weights &lt;- Parallel &lt;- Model &lt;- Generation; Checkpoints, Nccl, Tokenizers, Sampling beside them; Torch and Diagnosis above.</summary>
    [Theory]
    [InlineData("Kernels")]
    [InlineData("Weights", "Kernels", "Checkpoints")]
    [InlineData("Parallel", "Kernels", "Weights", "Checkpoints")]
    [InlineData("Nccl")]
    [InlineData("Model", "Kernels", "Weights", "Parallel", "Checkpoints", "Nccl")]
    [InlineData("Torch", "Kernels", "Weights", "Parallel", "Model", "Checkpoints", "Nccl")]
    [InlineData("Checkpoints", "Kernels")]
    [InlineData("Tokenizers")]
    [InlineData("Sampling", "Kernels")]
    [InlineData("Diagnosis", "Kernels", "Weights", "Parallel", "Model", "Checkpoints", "Tokenizers", "Generation")]
    public void EngineFolder_Uses_OnlyWhatLiesBelow(string folder, params string[] allowed)
    {
        const string Prefix = "using Distributed.Engine.";
        var used = Directory.EnumerateFiles(Path.Combine(Repository.Root, "engine", folder), "*.cs", SearchOption.AllDirectories)
            .SelectMany(File.ReadLines)
            .Where(line => line.StartsWith(Prefix, StringComparison.Ordinal))
            .Select(line => line[Prefix.Length..].TrimEnd(';'))
            .Where(name => name != folder)
            .Distinct();

        // What lies in a folder below is part of the folder.
        Assert.Empty(used.Select(name => name.Split('.')[0]).Except([.. allowed, folder]));
    }
}
