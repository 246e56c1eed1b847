using System.Text.RegularExpressions;

namespace Distributed.EndToEnd.Tests;

/// <summary>What the documents point to is there.</summary>
public sealed partial class DocumentationTests
{
    [Fact]
    public void Links_OfEveryDocument_LeadToFiles()
    {
        var documents = Directory.GetFiles(Path.Combine(Repository.Root, "docs"), "*.md").Append(Path.Combine(Repository.Root, "README.md"));
        var broken = documents
            .SelectMany(document => Link().Matches(File.ReadAllText(document)).Select(match => (document, target: match.Groups[1].Value)))
            .Where(link => !link.target.Contains("://", StringComparison.Ordinal))
            .Where(link => !Path.Exists(Path.Combine(Path.GetDirectoryName(link.document)!, link.target)))
            .Select(link => $"{Path.GetRelativePath(Repository.Root, link.document)}: {link.target}");
        Assert.Empty(broken);
    }

    // [text](target#anchor); an anchor alone stays within its document.
    [GeneratedRegex(@"\]\(([^)#\s]+)(#[^)]*)?\)")]
    private static partial Regex Link();
}
