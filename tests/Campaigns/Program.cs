using Distributed.Campaigns;

if (!OperatingSystem.IsLinux())
{
    Console.Error.WriteLine("The campaigns find processes through /proc, so they run on Linux only.");
    return 2;
}

var options = CampaignOptions.Read(args, Console.Error);
return options switch
{
    null => 2,
    { Campaign: CampaignOptions.KillRank } => KillRankCampaign.Run(options),
    { Campaign: CampaignOptions.StopRank } => StopRankCampaign.Run(options),
    { Campaign: CampaignOptions.ServeKill or CampaignOptions.ServeStop } => await ServeRankCampaign.RunAsync(options),
    { Campaign: CampaignOptions.ServeDrain } => await ServeDrainCampaign.RunAsync(options),
    { Campaign: CampaignOptions.ServeLeave } => await ServeLeaveCampaign.RunAsync(options),
    { Campaign: CampaignOptions.ServeOverload } => await ServeOverloadCampaign.RunAsync(options),
    { Campaign: CampaignOptions.ServeBodies or CampaignOptions.ServeBytes } => await ServeInputCampaign.RunAsync(options),
    _ => KillLauncherCampaign.Run(options),
};
