using Distributed.Worker.Options;
using Distributed.Worker.Output;
using Distributed.Worker.Prompts;

namespace Distributed.Worker.Running;

/// <summary>Continues texts.</summary>
internal sealed class CompleteCommand(RunOptions options, OptionValues values) : GenerationCommand(options)
{
    // What Meta's example script does with prompts of its own when it is given none.
    private static readonly string[] Examples =
    [
        "Once upon a time there was",
        "The largest animal on earth is",
        "Put simply, an all-reduce",
        "Q: What color is snow?\nA: Snow is white.\nQ: What do bees make?\nA:",
    ];

    private List<PromptInput>? _prompts; // null: none was named

    public override void ReadInputs(Preparation? preparation, List<string> problems)
    {
        var texts = new List<string>(values[OptionCatalog.Prompt]?.Values ?? []);
        var idLists = new OptionReader(values, problems).TokenIdLists(OptionCatalog.PromptTokens).ToList();
        if (values[OptionCatalog.PromptsFile] is { } file)
        {
            texts.AddRange(FromFile(file.Last, problems));
        }

        if (preparation is null || (texts.Count == 0 && idLists.Count == 0))
        {
            return;
        }

        var prompts = texts.Select(text => Encode(text, preparation));
        _prompts = [.. prompts, .. idLists.Select(ids => new PromptInput(Decode(ids, preparation), ids))];
        Check(_prompts, preparation, problems);
    }

    public override void Lead(LeaderSession session)
    {
        var prompts = _prompts ?? FromUser(session);
        session.Run(
            prompts,
            prompts.Count == 1 ? [new RowFrame("", "\n")] : [.. prompts.Select(prompt => prompt.Frame)],
            (batch, options, onUpdate) => session.Generator.Generate([.. batch.Select(prompt => prompt.Tokens)], options, onUpdate));
    }

    private static IReadOnlyList<string> FromFile(string path, List<string> problems)
    {
        if (UserText.ReadFile(path, OptionCatalog.PromptsFile, problems) is not { } text)
        {
            return [];
        }

        var before = problems.Count;
        var prompts = PromptLines.Parse(text, path, problems);
        if (prompts.Count == 0 && problems.Count == before)
        {
            problems.Add($"{path} has no prompts; write one a line.");
        }

        return prompts;
    }

    private static List<PromptInput> FromUser(LeaderSession session)
    {
        const string Source = "standard input";
        var problems = new List<string>();
        var input = session.Link.UserInputIsTerminal
            ? ""
            : session.WaitFor(() => UserText.ReadToEnd(session.Link.UserInput, Source, problems)) ?? "";
        var texts = PromptLines.Parse(input, Source, problems);
        if (texts.Count == 0 && problems.Count == 0)
        {
            Console.Error.WriteLine($"No prompt was given (--prompt, --prompts-file, {Source}); running {Examples.Length} examples.");
            texts = Examples;
        }

        List<PromptInput> prompts = [.. texts.Select(text => Encode(text, session.Preparation))];
        Check(prompts, session.Preparation, problems);
        return problems.Count == 0 ? prompts : throw new BadInputException(problems);
    }

    private static PromptInput Encode(string text, Preparation preparation)
        => new(text, preparation.Tokenizer.Encode(text, bos: true, eos: false));

    // An id outside the vocabulary has no text; its sentence follows.
    private static string Decode(IReadOnlyList<int> ids, Preparation preparation)
        => ids.All(id => id < preparation.Limits.VocabularySize) ? preparation.Tokenizer.Decode([.. ids]) : "";

    private static void Check(List<PromptInput> prompts, Preparation preparation, List<string> problems)
    {
        foreach (var (index, prompt) in prompts.Index())
        {
            if (preparation.Limits.Problem($"Prompt {index + 1}", prompt.Tokens) is { } problem)
            {
                problems.Add(problem);
            }
        }
    }
}
