namespace Distributed.Worker.Options;

/// <summary>The commands and what each accepts. Names and defaults are those of Meta's example scripts.</summary>
internal static class OptionCatalog
{
    public const string Complete = "complete";
    public const string Chat = "chat";
    public const string Tokenize = "tokenize";
    public const string Convert = "convert";
    public const string Inspect = "inspect";
    public const string Doctor = "doctor";

    /// <summary>All commands, as a sentence lists them.</summary>
    public const string CommandNames = "complete, chat, tokenize, convert, inspect or doctor";

    public const string CheckpointDirectory = "ckpt-dir";
    public const string Model = "model";
    public const string TokenizerPath = "tokenizer-path";
    public const string MaxSequenceLength = "max-seq-len";
    public const string MaxBatchSize = "max-batch-size";
    public const string MaxGenerationLength = "max-gen-len";
    public const string Temperature = "temperature";
    public const string TopP = "top-p";
    public const string Seed = "seed";
    public const string LogProbabilities = "logprobs";
    public const string Echo = "echo";
    public const string StopTokenIds = "stop-token-ids";
    public const string Format = "format";
    public const string Prompt = "prompt";
    public const string PromptTokens = "prompt-tokens";
    public const string PromptsFile = "prompts-file";
    public const string Dialogs = "dialogs";
    public const string DialogsFile = "dialogs-file";
    public const string System = "system";
    public const string Config = "config";
    public const string Threads = "threads";
    public const string DataType = "dtype";
    public const string SkipChecksums = "skip-checksums";
    public const string Transport = "transport";
    public const string Wire = "wire";
    public const string Trace = "trace";
    public const string Bos = "bos";
    public const string Output = "output";
    public const string Layout = "layout";
    public const string Shards = "shards";
    public const string Type = "type";
    public const string WorldSize = "world-size";
    public const string Deep = "deep";

    /// <summary>The options that say what to run. Where the command line has any of them, those of a config file do not count.</summary>
    public static readonly IReadOnlyList<string> Inputs = [Prompt, PromptTokens, PromptsFile, Dialogs, DialogsFile];

    private static readonly OptionDefinition Tokenizer =
        new(TokenizerPath, "FILE", "The tokenizer that belongs to the checkpoint: tokenizer.model or tokenizer.json. Default with --model: the folder's.") { IsPath = true };

    private static readonly OptionDefinition ConfigFile =
        new(Config, "FILE", "JSON with any of these options as keys, in either spelling; the command line wins.") { IsPath = true };

    /// <summary>What <paramref name="command"/> accepts, in the order of its help.</summary>
    public static IReadOnlyList<OptionDefinition> Of(string command) => command switch
    {
        Complete =>
        [
            .. ModelOptions(maxSequenceLength: 128, maxBatchSize: 4, maxGenerationLength: "64"),
            new(Echo, null, "Begin each result with the prompt."),
            new(Prompt, "TEXT", "A text to continue; may be repeated.") { Repeats = true, ConfigPlural = "prompts" },
            new(PromptTokens, "IDS", "Token ids to continue, such as 1,15043, BOS included by you; may be repeated.") { Repeats = true },
            new(PromptsFile, "FILE", "A prompt a line, or JSON lines with \"prompt\". With no prompt at all, standard input is read so.")
            {
                IsPath = true,
            },
            .. Run,
        ],
        Chat =>
        [
            .. ModelOptions(maxSequenceLength: 512, maxBatchSize: 8, maxGenerationLength: "None"),
            new(DialogsFile, "FILE", "JSON: a dialog ([{\"role\":\"user\",\"content\":\"...\"}]), a list of dialogs, or a dialog a line.")
            {
                IsPath = true,
            },
            new(Prompt, "TEXT", "One message from the user; may be repeated, each a dialog of its own.")
            {
                Repeats = true,
                ConfigPlural = "prompts",
            },
            new(System, "TEXT", "A system message before each --prompt, or before the conversation."),
            new(Dialogs, "JSON", "Dialogs, as in --dialogs-file.") { ConfigOnly = true },
            .. Run,
        ],
        Tokenize =>
        [
            Tokenizer,
            new(Bos, null, "Put the BOS token before each text."),
        ],
        Convert =>
        [
            new(Model, "DIR", "The checkpoint to convert, in either layout.") { IsPath = true },
            new(Output, "DIR", "The new folder; it appears when all of it is written.") { IsPath = true },
            new(Layout, "meta|huggingface", "The layout to write."),
            new(Shards, "N", "Files among which Meta's layout divides each tensor. Default: 1."),
            new(Type, "float32|bfloat16|float16", "How elements are stored. Default: as they are."),
        ],
        Inspect =>
        [
            new(Model, "DIR", "The checkpoint, in either layout.") { IsPath = true },
        ],
        Doctor =>
        [
            new(Model, "DIR", "The checkpoint, in either layout; it may stand alone, without --model.") { IsPath = true },
            Tokenizer,
            new(WorldSize, "N", "The number of ranks that memory and speed are told for. Default: 1, 2, 4 and 8."),
            new(MaxSequenceLength, "N", "Positions a row, for the cache. Default: 2048."),
            new(MaxBatchSize, "N", "Rows that run together, for the cache. Default: 1."),
            new(Deep, null, "Compare one rank with --world-size (default 2) after every layer, and name the first layer and rank that differ."),
            new(SkipChecksums, null, "Do not read the files to compare their checksums."),
            new(Threads, "N", "Threads that read and measure. Default: OMP_NUM_THREADS, else all cores."),
            new(Format, "text|json", "json: one document on standard output and nothing else there. Default: text."),
        ],
        _ => throw new ArgumentOutOfRangeException(nameof(command), command, "No such command."),
    };

    private static IEnumerable<OptionDefinition> ModelOptions(int maxSequenceLength, int maxBatchSize, string maxGenerationLength) =>
    [
        new(Model, "DIR", "Folder of a model: Hugging Face's config.json and *.safetensors, or Meta's files, with the tokenizer beside them.")
        {
            IsPath = true,
        },
        new(CheckpointDirectory, "DIR", "In place of --model: the folder without the tokenizer, for which --tokenizer-path is then needed.")
        {
            IsPath = true,
        },
        Tokenizer,
        new(DataType, "auto|int8|int4", "auto: weights as they are stored. int8, int4: quantised while loading, a half and a quarter of the memory of bfloat16. Default: auto."),
        new(MaxSequenceLength, "N", $"Positions a row, prompt and new tokens together. Default: {maxSequenceLength}."),
        new(MaxBatchSize, "N", $"Rows that run together; more prompts run in consecutive batches. Default: {maxBatchSize}."),
        new(MaxGenerationLength, "N", $"New tokens a row at most; None for as many as fit. Default: {maxGenerationLength}."),
        new(Temperature, "T", "0 always takes the most probable token. Default: 0.6."),
        new(TopP, "P", "Sample from the most probable tokens that together reach P. Default: 0.9."),
        new(Seed, "N", "Of the draws; the same seed gives the same text on any number of ranks. Default: 1."),
        new(LogProbabilities, null, "Report log probabilities (with --format json)."),
        new(StopTokenIds, "IDS", "Token ids that end a row, such as 2,13, in place of the tokenizer's EOS."),
    ];

    private static IEnumerable<OptionDefinition> Run =>
    [
        new(Format, "text|json", "json: one document on standard output and nothing else there. Default: text."),
        ConfigFile,
        new(Threads, "N", "Compute threads of each rank. Default: OMP_NUM_THREADS, else this rank's share of the cores."),
        new(Transport, "auto|shm|grpc", "Between ranks of one host: shared memory, or gRPC over Unix sockets. Default: DISTRUN_TRANSPORT, else auto."),
        new(Wire, "exact|bf16|int8", "Between hosts: sums as they are, or narrowed for a slow network, with which results depend on the hosts. Default: DISTRUN_WIRE, else exact."),
        new(Trace, "FILE", "Write each rank's collectives to FILE, its number before the extension, in Chrome's trace format.") { IsPath = true },
        new(SkipChecksums, null, "Do not verify the checkpoint's checksums while loading."),
    ];
}
